#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace holt::fsd {

// One thread for what takes the disk's time (fsync, syncfs, large copies), so that a loop that
// serves thousands of small requests does not stand still behind it.
class SlowLane {
 public:
  SlowLane();
  ~SlowLane();  // after what was added ran
  SlowLane(const SlowLane&) = delete;
  SlowLane& operator=(const SlowLane&) = delete;

  // Jobs run one after the other. Bounded by the callers: a job is a request, and those are as many
  // as the rings have descriptors.
  void Add(std::function<void()> job);
  // Returns when everything added before has run.
  void Drain();

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_;
  std::deque<std::function<void()>> jobs_;
  bool running_job_ = false;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace holt::fsd
