#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "shim/monitor/cleanup.h"
#include "shim/monitor/sandbox.h"

// How a sandbox ends: who failed, who exited, and taking everything down.
namespace holt::shim {
namespace {

using base::Code;
using namespace std::chrono_literals;

// When one process of the machine ends the others follow, and one of them may know why.
constexpr auto kSettle = 300ms;
// A killed container's end is waited for this long before the machine goes from under it.
constexpr auto kKillPatience = 2s;
// The same where its end is not before its disks have what it wrote.
constexpr auto kSyncPatience = 60s;
// Execs that are not reported after the container's end: their pid namespace is gone.
constexpr auto kExecPatience = 3s;
constexpr int32_t kKilledStatus = 128 + SIGKILL;

}  // namespace

void Sandbox::OnSomethingEnded() {
  if (phase_ == Phase::kTeardown || settling_) return;
  settling_ = true;
  Evidence seen = evidence_;
  machine_.AddEvidence(seen);
  loop_.AddTimer(IsConclusive(seen) ? 0ms : kSettle, [this] { Settle(); });
}

void Sandbox::Settle() {
  if (phase_ == Phase::kTeardown) return;
  settling_ = true;
  machine_.AddEvidence(evidence_);
  if (cgroup_) evidence_.host_oom_kills = cgroup_->OomKills();
  std::string cause = Explain(evidence_);
  if (starting()) return FailStart(base::Error(Code::kUnavailable, cause));
  // Sockets of a dead machine end; those of one that lost its agent only would stay.
  machine_.Kill();
  if (phase_ == Phase::kExited) return container_->EndAll({kKilledStatus, false, cause}, true);
  base::log::Error("{}", cause);
  EndRunning({Container::kFailedStatus, false, cause});
}

void Sandbox::FailStart(base::Error error) {
  if (!starting() || teardown_scheduled_) return;
  base::log::Error("{}", error.message());
  record_.error = error.message();
  record_.exit_status = Container::kFailedStatus;
  outcome_.Failed(error);
  // "cannot apply" means that no container is left behind.
  remove_ = true;
  ScheduleTeardown();
}

void Sandbox::EndRunning(const ProcessExit& exit) {
  if (start_done_) {
    auto done = std::move(start_done_);
    start_done_ = nullptr;
    done(base::Error(Code::kUnavailable, exit.error));
  }
  container_->EndAll(exit);
}

void Sandbox::OnExit(const ProcessExit& exit) {
  if (phase_ == Phase::kTeardown || phase_ == Phase::kExited) return;
  timeline_.End("run");
  timeline_.Begin("drain the output");
  phase_ = Phase::kExited;
  record_.status = "stopped";
  record_.exit_status = exit.status;
  record_.oom_killed = exit.oom_killed;
  if (exit.oom_killed) TellEngineOfOom();
  record_.error = exit.error;
  record_.exited_unix_nanos = NowUnixNanos();
  Save();
  EndControl();
  if (notify_) notify_->End();
  container_->OnAllDrained([this] { ScheduleTeardown(); });
  loop_.AddTimer(kExecPatience, [this] {
    if (phase_ == Phase::kExited) container_->EndAll({kKilledStatus, false, ""}, true);
  });
}

void Sandbox::KillContainer() {
  container_->Signal("", SIGKILL, true, [](base::Status status) {
    if (!status) base::log::Info("kill the container: {}", status.error().message());
  });
  const bool writes = std::any_of(block_devices_.begin(), block_devices_.end(),
                                  [](const BlockDevice& device) { return !device.read_only; });
  loop_.AddTimer(writes ? kSyncPatience : kKillPatience, [this] {
    if (phase_ == Phase::kTeardown) return;
    machine_.Kill();
    EndRunning({kKilledStatus, false, ""});
    // Whoever still reads had the time to.
    ScheduleTeardown();
  });
}

void Sandbox::Stop(const std::string& why) {
  switch (phase_) {
    case Phase::kBooting:
      return FailStart(base::Error(Code::kCancelled, why));
    case Phase::kCreated:
      EndRunning({kKilledStatus, false, why});
      return ScheduleTeardown();
    case Phase::kStarting:
    case Phase::kRunning:
      return KillContainer();
    case Phase::kExited:
      return ScheduleTeardown();
    case Phase::kTeardown:
      return;
  }
}

void Sandbox::Delete(bool force, Done done) {
  bool runs = phase_ == Phase::kStarting || phase_ == Phase::kRunning;
  if (phase_ == Phase::kBooting || (runs && !force))
    return done(base::MakeError(Code::kFailedPrecondition,
                                "cannot delete container {}: it is {}, not stopped",
                                options_.request.id, record_.status));
  if (phase_ == Phase::kTeardown && !remove_)
    return done(base::Error(Code::kUnavailable, "its monitor is ending"));
  remove_ = true;
  delete_done_.push_back(std::move(done));
  Stop("deleted");
}

void Sandbox::ScheduleTeardown() {
  if (teardown_scheduled_) return;
  teardown_scheduled_ = true;
  // Callbacks of what is destroyed there are on the stack now.
  loop_.Post([this] { Teardown(); });
}

void Sandbox::Teardown() {
  timeline_.End("drain the output");
  timeline_.Begin("tear down");
  phase_ = Phase::kTeardown;
  for (base::EventLoop::TimerId timer : {ready_timer_, turn_timer_})
    if (timer != 0) loop_.CancelTimer(timer);
  boot_turn_.reset();
  if (container_) container_->Abort();
  EndControl();
  if (notify_) notify_->End();
  notify_.reset();
  if (attach_) attach_->StopListening();
  for (const std::string& path : {paths_.AttachSocket(), paths_.MonitorSocket()})
    unlink(path.c_str());
  std::string console = machine_.console();
  machine_.Kill();
  network_watch_.reset();
  resolver_.reset();
  network_.reset();
  share_.Unmount();
  LeaveCgroup(remove_ || options_.request.auto_remove);
  if (auto status = base::RemoveTree(paths_.Vsock()); !status)
    base::log::Warning("{}", status.error().message());
  record_.status = "stopped";
  record_.pid = 0;
  record_.processes.clear();
  record_.uid = 0;
  if (remove_ || options_.request.auto_remove) {
    base::Status removed = RemoveSandbox(options_.root, record_.id, record_.store);
    if (!removed) base::log::Error("{}", removed.error().message());
    for (Done& done : delete_done_) done(removed);
  } else {
    if (!console.empty() && (options_.request.debug || !record_.error.empty()))
      (void)base::WriteFile(paths_.Console(), console, 0600);
    Save();
  }
  delete_done_.clear();
  timeline_.End("tear down");
  WriteTimeline();
  // Once more around, so that the last answers go out.
  loop_.AddTimer(0ms, [this] { loop_.Stop(); });
}

void Sandbox::WriteTimeline() {
  if (!options_.timeline) return;
  if (auto status = base::WriteFd(options_.timeline.get(), TimelineToJson(timeline_.Steps(), 0));
      !status)
    base::log::Warning("timeline: {}", status.error().message());
}

}  // namespace holt::shim
