#pragma once

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "vmm/cpu/vcpu.h"

namespace holt::vmm {

// A thread for each vCPU. Born paused; the public functions, CallInLoop() apart, are for the loop's
// thread.
class VcpuThreads {
 public:
  // `on_failure` is called in the loop when a vCPU can run no more; its thread waits for Stop().
  static base::Result<std::unique_ptr<VcpuThreads>> Create(
      base::EventLoop& loop, std::vector<std::unique_ptr<Vcpu>> vcpus,
      std::function<void(const VcpuFailure&)> on_failure);
  ~VcpuThreads();
  VcpuThreads(const VcpuThreads&) = delete;
  VcpuThreads& operator=(const VcpuThreads&) = delete;

  void Run();
  // Returns when no vCPU runs.
  void Pause();
  // Ends every thread and joins it. For good. Not from a call of CallInLoop()'s: its thread waits.
  void Stop();

  // From a vCPU thread: runs `call` in the loop and returns when it has run, or when Stop() made it
  // pointless. Pause() and Stop() serve such calls too, so that nobody waits for each other.
  void CallInLoop(const std::function<void()>& call);

  // What the threads used of the host's processors.
  uint64_t CpuNanos() const;
  uint64_t Exits() const;

 private:
  enum class Wish { kPause, kRun, kStop };
  struct Call {
    const std::function<void()>* call = nullptr;
    bool done = false;
  };

  VcpuThreads(base::EventLoop& loop, std::vector<std::unique_ptr<Vcpu>> vcpus,
              std::function<void(const VcpuFailure&)> on_failure)
      : loop_(loop), vcpus_(std::move(vcpus)), on_failure_(std::move(on_failure)) {}
  void ThreadMain(size_t index);
  // Waits until this thread may run; false when it must end. `failed`: it never may.
  bool WaitForRun(bool failed);
  void Report(VcpuFailure failure);
  void ServeCalls();
  void KickAll();

  base::EventLoop& loop_;
  std::vector<std::unique_ptr<Vcpu>> vcpus_;
  std::function<void(const VcpuFailure&)> on_failure_;
  std::vector<std::thread> threads_;
  bool serving_ = false;  // in the loop's thread: a call of CallInLoop()'s runs
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<Wish> wish_{Wish::kPause};  // written with mutex_ held
  size_t parked_ = 0;                     // guarded by mutex_
  std::deque<Call*> calls_;               // guarded by mutex_
};

}  // namespace holt::vmm
