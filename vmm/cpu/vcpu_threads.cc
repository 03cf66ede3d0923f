#include "vmm/cpu/vcpu_threads.h"

#include <time.h>

namespace holt::vmm {

using base::Result;

Result<std::unique_ptr<VcpuThreads>> VcpuThreads::Create(
    base::EventLoop& loop, std::vector<std::unique_ptr<Vcpu>> vcpus,
    std::function<void(const VcpuFailure&)> on_failure) {
  TRY(InstallKickHandler());
  std::unique_ptr<VcpuThreads> threads(
      new VcpuThreads(loop, std::move(vcpus), std::move(on_failure)));
  for (size_t i = 0; i < threads->vcpus_.size(); ++i) {
    threads->threads_.emplace_back([raw = threads.get(), i] { raw->ThreadMain(i); });
    pthread_setname_np(threads->threads_.back().native_handle(),
                       fmt::format("vcpu{}", threads->vcpus_[i]->index()).c_str());
  }
  return threads;
}

VcpuThreads::~VcpuThreads() { Stop(); }

void VcpuThreads::ThreadMain(size_t index) {
  Vcpu& vcpu = *vcpus_[index];
  bool failed = false;
  while (WaitForRun(failed)) {
    while (wish_ == Wish::kRun && !failed) {
      auto failure = vcpu.Run();
      if (!failure) continue;
      failed = true;
      Report(std::move(*failure));
    }
  }
}

bool VcpuThreads::WaitForRun(bool failed) {
  std::unique_lock lock(mutex_);
  ++parked_;
  changed_.notify_all();
  changed_.wait(lock, [&] { return wish_ == Wish::kStop || (wish_ == Wish::kRun && !failed); });
  --parked_;
  return wish_ != Wish::kStop;
}

void VcpuThreads::Report(VcpuFailure failure) {
  loop_.Post([this, alive = std::weak_ptr(alive_), failure = std::move(failure)] {
    if (!alive.expired()) on_failure_(failure);
  });
}

void VcpuThreads::Run() {
  std::lock_guard lock(mutex_);
  if (wish_ == Wish::kStop) return;
  wish_ = Wish::kRun;
  changed_.notify_all();
}

void VcpuThreads::KickAll() {
  for (size_t i = 0; i < vcpus_.size(); ++i) vcpus_[i]->Kick(threads_[i].native_handle());
}

void VcpuThreads::Pause() {
  {
    std::lock_guard lock(mutex_);
    if (wish_ != Wish::kRun) return;
    wish_ = Wish::kPause;
  }
  KickAll();
  std::unique_lock lock(mutex_);
  while (parked_ != threads_.size()) {
    changed_.wait(lock, [&] { return parked_ == threads_.size() || !calls_.empty(); });
    lock.unlock();
    ServeCalls();
    lock.lock();
  }
  for (const auto& vcpu : vcpus_) vcpu->NotePause();
}

void VcpuThreads::Stop() {
  HOLT_CHECK(!serving_);
  {
    std::lock_guard lock(mutex_);
    wish_ = Wish::kStop;
    // Nobody will serve these.
    for (Call* call : calls_) call->done = true;
    calls_.clear();
    changed_.notify_all();
  }
  if (threads_.empty()) return;
  KickAll();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  alive_.reset();
}

void VcpuThreads::CallInLoop(const std::function<void()>& call) {
  Call entry{&call};
  std::unique_lock lock(mutex_);
  if (wish_ == Wish::kStop) return;
  calls_.push_back(&entry);
  changed_.notify_all();
  loop_.Post([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) ServeCalls();
  });
  changed_.wait(lock, [&] { return entry.done; });
}

void VcpuThreads::ServeCalls() {
  std::unique_lock lock(mutex_);
  while (!calls_.empty()) {
    Call* entry = calls_.front();
    calls_.pop_front();
    lock.unlock();
    serving_ = true;
    (*entry->call)();
    serving_ = false;
    lock.lock();
    entry->done = true;
    changed_.notify_all();
  }
}

uint64_t VcpuThreads::CpuNanos() const {
  uint64_t total = 0;
  for (const std::thread& thread : threads_) {
    clockid_t clock{};
    timespec used{};
    auto handle = const_cast<std::thread&>(thread).native_handle();
    if (pthread_getcpuclockid(handle, &clock) != 0 || clock_gettime(clock, &used) != 0) continue;
    total +=
        static_cast<uint64_t>(used.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(used.tv_nsec);
  }
  return total;
}

uint64_t VcpuThreads::Exits() const {
  uint64_t total = 0;
  for (const auto& vcpu : vcpus_) total += vcpu->exits();
  return total;
}

}  // namespace holt::vmm
