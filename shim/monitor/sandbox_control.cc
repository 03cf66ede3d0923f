#include <fcntl.h>

#include "base/file.h"
#include "base/log.h"
#include "oci/unsupported.h"
#include "shim/cgroup/limits.h"
#include "shim/monitor/sandbox.h"
#include "shim/monitor/update.h"

// What is done to a container while it runs: pause and resume, update, statistics.
namespace holt::shim {
namespace {

using base::Code;
using base::MakeError;

// A guest that reports one kill after the other is not listened to more often than this; its agent
// keeps what happens meanwhile.
constexpr std::chrono::milliseconds kOomInterval{100};
// Commands that wait for a paused container or for its lack of memory.
constexpr size_t kMaxWaiters = 4096;

}  // namespace

base::Status Sandbox::CheckRunning() const {
  if (phase_ == Phase::kRunning) return {};
  return MakeError(Code::kFailedPrecondition, "container not running: \"{}\" is {}",
                   options_.request.id, record_.status);
}

void Sandbox::Pause(Done done) {
  if (auto status = CheckRunning(); !status) return done(std::move(status));
  if (paused())
    return done(MakeError(Code::kFailedPrecondition, "container not running: \"{}\" is paused",
                          options_.request.id));
  SetFrozen(true, std::move(done));
}

void Sandbox::Resume(Done done) {
  if (auto status = CheckRunning(); !status) return done(std::move(status));
  if (!paused())
    return done(MakeError(Code::kFailedPrecondition, "container not paused: \"{}\" is {}",
                          options_.request.id, record_.status));
  SetFrozen(false, std::move(done));
}

void Sandbox::SetFrozen(bool frozen, Done done) {
  if (freezing_)
    return done(MakeError(Code::kFailedPrecondition,
                          "container \"{}\": another pause or resume is not done yet",
                          options_.request.id));
  freezing_ = true;
  container_->SetFrozen(frozen, [this, frozen, done = std::move(done)](base::Status status) {
    freezing_ = false;
    if (!status) return done(std::move(status));
    // It may have been killed meanwhile.
    if (auto running = CheckRunning(); !running) return done(std::move(running));
    record_.status = frozen ? "paused" : "running";
    Save();
    done({});
    if (frozen) return;
    auto waiting = std::move(on_resumed_);
    on_resumed_.clear();
    for (Done& ready : waiting) ready({});
  });
}

void Sandbox::WhenResumed(Done ready) {
  if (!paused()) return ready({});
  if (on_resumed_.size() >= kMaxWaiters)
    return ready(MakeError(Code::kResourceExhausted, "{} commands wait for the container already",
                           kMaxWaiters));
  on_resumed_.push_back(std::move(ready));
}

void Sandbox::Update(oci::Resources update, Done done) {
  // A container that was created has its cgroup.
  if (phase_ != Phase::kCreated && phase_ != Phase::kStarting)
    if (auto status = CheckRunning(); !status) return done(std::move(status));
  auto check = [&]() -> base::Status {
    TRY(oci::CheckGuestSupport(update));
    update = CompleteUpdate(resources_, std::move(update));
    TRY(CheckFits(update, record_.memory_bytes, record_.vcpus));
    return UpdateCgroup(update);
  };
  if (auto status = check(); !status) return done(std::move(status));
  container_->Update(oci::SerializeResources(ResourcesForGuest(update)),
                     [this, update, done = std::move(done)](base::Status status) {
                       if (!status) {
                         if (auto undone = UpdateCgroup(resources_); !undone)
                           base::log::Warning("{}", undone.error().message());
                         return done(std::move(status));
                       }
                       resources_ = MergeResources(std::move(resources_), update);
                       record_.resources = oci::SerializeResources(resources_);
                       if (phase_ != Phase::kTeardown) Save();
                       done({});
                     });
}

void Sandbox::Stats(std::function<void(base::Result<agent::v1::StatsResponse>)> done) {
  if (phase_ == Phase::kBooting || phase_ == Phase::kExited || phase_ == Phase::kTeardown)
    return done(CheckRunning().error());
  container_->Stats(std::move(done));
}

void Sandbox::WatchOom() {
  container_->WaitOom([this](base::Status killed) {
    if (!killed) {
      base::log::Debug("no more news of lacking memory: {}", killed.error().message());
      return;
    }
    ++oom_kills_;
    TellEngineOfOom();
    AnswerOomWaiters();
    loop_.AddTimer(kOomInterval, [this] {
      if (phase_ != Phase::kExited && phase_ != Phase::kTeardown) WatchOom();
    });
  });
}

void Sandbox::TellEngineOfOom() {
  for (const std::string& directory : {options_.request.bundle, options_.request.persist}) {
    if (directory.empty()) continue;
    // Only the engine may have made this; a link of somebody's is not followed.
    auto file = base::Open(directory + "/oom", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
    if (!file && file.error().err() != EEXIST)
      base::log::Warning("the engine's sign of lacking memory: {}", file.error().message());
  }
}

void Sandbox::WaitOom(OomWaiter waiter) {
  // `events` asks anew for each line of statistics.
  std::erase_if(oom_waiters_, [](const OomWaiter& other) { return !other.wanted(); });
  if (oom_waiters_.size() >= kMaxWaiters) oom_waiters_.erase(oom_waiters_.begin());
  oom_waiters_.push_back(std::move(waiter));
  AnswerOomWaiters();
}

void Sandbox::AnswerOomWaiters() {
  bool ended = phase_ == Phase::kExited || phase_ == Phase::kTeardown;
  std::vector<OomWaiter> waiting = std::move(oom_waiters_);
  oom_waiters_.clear();
  for (OomWaiter& waiter : waiting) {
    if (ended || oom_kills_ > waiter.seen) {
      waiter.done(oom_kills_, ended);
    } else {
      oom_waiters_.push_back(std::move(waiter));
    }
  }
}

// The container has ended: nobody waits for it any longer.
void Sandbox::EndControl() {
  if (record_.oom_killed && oom_kills_ == 0) oom_kills_ = 1;
  AnswerOomWaiters();
  auto waiting = std::move(on_resumed_);
  on_resumed_.clear();
  for (Done& ready : waiting)
    ready(MakeError(Code::kFailedPrecondition, "container not running: \"{}\" is stopped",
                    options_.request.id));
}

}  // namespace holt::shim
