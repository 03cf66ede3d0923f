#include "guest-agent/container/container.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <sys/stat.h>

#include <charconv>

#include "base/file.h"
#include "base/log.h"
#include "guest-agent/cgroup/device_filter.h"
#include "guest-agent/container/user_namespace.h"
#include "guest-agent/init/tables.h"
#include "guest-agent/stream/place.h"
#include "oci/mount_options.h"

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;
using base::Status;
using base::UniqueFd;

// Waits between looks at a cgroup: 1, 2, 4 … 50 ms, ten seconds in all.
constexpr int kMaxTurns = 210;
std::chrono::milliseconds Pause(int turn) {
  return std::chrono::milliseconds(turn < 6 ? 1 << turn : 50);
}

uint64_t HexField(std::string_view status, std::string_view name) {
  size_t at = status.find(name);
  if (at == std::string_view::npos) return 0;
  at = status.find_first_not_of(" \t", at + name.size());
  if (at == std::string_view::npos) return 0;
  uint64_t value = 0;
  std::from_chars(status.data() + at, status.data() + status.size(), value, 16);
  return value;
}

}  // namespace

bool StatusHandlesSigterm(std::string_view status) {
  uint64_t mask =
      HexField(status, "\nSigBlk:") | HexField(status, "\nSigIgn:") | HexField(status, "\nSigCgt:");
  return (mask >> (SIGTERM - 1) & 1) != 0;
}

bool HandlesSigterm(pid_t pid) {
  auto status = base::ReadFile(fmt::format("/proc/{}/status", pid));
  return status && StatusHandlesSigterm(*status);
}

Container::~Container() {
  if (cgroup_) (void)cgroup_->KillAll();
}

void Container::Create(ProcessStreams streams, const std::optional<oci::ConsoleSize>& size,
                       Done done) {
  if (auto launched = Launch(std::move(streams), size); !launched) return done(std::move(launched));
  init_->OnReady(std::move(done));
}

Status Container::Launch(ProcessStreams streams, const std::optional<oci::ConsoleSize>& size) {
  TRY_ASSIGN(cgroup_, cgroup::Cgroup::Create(engine_.cgroup_parent, id_));
  oci::Resources resources;
  if (config_.linux_ && config_.linux_->resources) resources = *config_.linux_->resources;
  TRY_CONTEXT(cgroup_->Apply(resources), "guest");
  // Without resources there still is a device filter.
  TRY(ApplyDevices(cgroup_->fd(), resources.devices));
  UniqueFd user_namespace;
  if (HasUserNamespace(config_)) {
    TRY_ASSIGN(user_namespace, MakeContainerUserNamespace(*config_.linux_));
    TRY_CONTEXT(GiveCgroupToRoot(cgroup_->fd(), *config_.linux_), "cgroup");
  }
  ChildPlan plan;
  plan.user_namespace = user_namespace.get();
  plan.config = &config_;
  plan.process = &*config_.process;
  plan.container_id = id_;
  plan.bundle = bundle_;
  plan.terminal = config_.process->terminal;
  plan.console_size = size ? size : config_.process->console_size;
  plan.share = engine_.share;
  plan.cgroup = cgroup_->fd();
  plan.mount_point = engine_.root_place;
  for (const auto& [source, socket] : sockets_) plan.sockets[source] = socket->path();
  for (const auto& [source, socket] : notify_sockets_) plan.sockets[source] = socket->path();
  TRY_ASSIGN(init_, Process::Start(engine_.loop, engine_.reaper, plan, -1, std::move(streams)));
  // Whichever process of it was the victim: what is left is not what was asked for.
  init_->SetOomCheck([this](const ProcessExit&) { return cgroup_ && cgroup_->OomKills() > 0; });
  return {};
}

Status Container::AddSocket(const std::string& source, SocketForward::Options options) {
  TRY_ASSIGN(options.path, PlaceForSocket());
  TRY_ASSIGN(sockets_[source], SocketForward::Start(engine_.loop, std::move(options)));
  return {};
}

Status Container::AddNotifySocket(const std::string& source, NotifySocket::Options options) {
  TRY_ASSIGN(options.path, PlaceForSocket());
  TRY_ASSIGN(notify_sockets_[source], NotifySocket::Start(engine_.loop, std::move(options)));
  return {};
}

Status Container::ReplayChanges(UniqueFd stream) {
  TRY_ASSIGN(replayer_,
             Replayer::Start(engine_.reaper, init_->pidfd(), config_, std::move(stream)));
  return {};
}

void Container::Start(Done done) {
  if (!init_) return done(MakeError(Code::kFailedPrecondition, "container is still being created"));
  if (init_->started() || init_->exit())
    return done(MakeError(Code::kFailedPrecondition,
                          "cannot start a container that is not in the created state"));
  SyncVolumes();
  init_->Go(std::move(done));
}

// An engine may still have written into a file that is bound, /etc/resolv.conf for one, after the
// size that was read here at create.
void Container::SyncVolumes() const {
  for (const oci::Mount& mount : config_.mounts) {
    auto options = oci::ParseMountOptions(mount, "");
    if (!options || !options->bind || mount.source.empty()) continue;
    struct statx ignored {};
    (void)statx(engine_.share, mount.source.c_str(), AT_SYMLINK_NOFOLLOW | AT_STATX_FORCE_SYNC,
                STATX_SIZE | STATX_MTIME, &ignored);
  }
}

void Container::Exec(const std::string& exec_id, oci::Process process, ProcessStreams streams,
                     const std::optional<oci::ConsoleSize>& size, Done done) {
  auto launched = LaunchExec(exec_id, process, std::move(streams), size);
  if (!launched) return done(std::move(launched));
  Process* started = execs_.at(exec_id).get();
  started->Go([this, exec_id, done = std::move(done)](Status status) {
    if (status) return done({});
    // After the callback: it comes from the process itself.
    engine_.loop.Post([this, exec_id, alive = std::weak_ptr<bool>(alive_)] {
      if (!alive.expired()) execs_.erase(exec_id);
    });
    done(std::move(status));
  });
}

Status Container::LaunchExec(const std::string& exec_id, const oci::Process& process,
                             ProcessStreams streams, const std::optional<oci::ConsoleSize>& size) {
  if (!running()) return MakeError(Code::kFailedPrecondition, "container {} is not running", id_);
  if (cgroup_->frozen()) return MakeError(Code::kFailedPrecondition, "container {} is paused", id_);
  ChildPlan plan;
  plan.config = &config_;
  plan.process = &process;
  plan.container_id = id_;
  plan.terminal = process.terminal;
  plan.console_size = size ? size : process.console_size;
  plan.cgroup = cgroup_->fd();
  plan.container_pidfd = init_->pidfd();
  UniqueFd fallback = FirstProcessCgroup();
  TRY_ASSIGN(auto started, Process::Start(engine_.loop, engine_.reaper, plan, fallback.get(),
                                          std::move(streams)));
  started->SetOomCheck([this, before = cgroup_->OomKills()](const ProcessExit& exit) {
    return exit.signal == SIGKILL && cgroup_ && cgroup_->OomKills() > before;
  });
  execs_[exec_id] = std::move(started);
  return {};
}

Process* Container::FindProcess(const std::string& exec_id) {
  if (exec_id.empty()) return init_.get();
  auto it = execs_.find(exec_id);
  return it == execs_.end() ? nullptr : it->second.get();
}

Status Container::ForgetExec(const std::string& exec_id) {
  auto it = execs_.find(exec_id);
  if (it == execs_.end())
    return MakeError(Code::kNotFound, "container {}: exec {}: not found", id_, exec_id);
  if (!it->second->exit())
    return MakeError(Code::kFailedPrecondition, "container {}: exec {}: is running", id_, exec_id);
  execs_.erase(it);
  return {};
}

Status Container::Signal(const std::string& exec_id, int signal) {
  Process* process = FindProcess(exec_id);
  if (process == nullptr)
    return MakeError(Code::kNotFound, "container {}: no such process \"{}\"", id_, exec_id);
  // Engines stop containers with SIGTERM and expect an end soon, not after their timeout.
  if (exec_id.empty() && signal == SIGTERM && !process->exit() && !HandlesSigterm(process->pid()))
    signal = SIGKILL;
  return process->Signal(signal);
}

// Where the first process is now: a container that manages cgroups itself (systemd) moves it into a
// child of its own, and the kernel takes no more processes into the parent then.
UniqueFd Container::FirstProcessCgroup() const {
  auto text = base::ReadFile(fmt::format("/proc/{}/cgroup", init_->pid()), 64 << 10);
  if (!text || !text->starts_with("0::/")) return UniqueFd();
  std::string path = text->substr(4, text->find('\n') - 4);
  auto root = base::Open(kCgroupRoot, O_PATH | O_DIRECTORY);
  if (!root) return UniqueFd();
  auto directory = base::OpenAt2(root->get(), path, O_RDONLY | O_DIRECTORY,
                                 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  return directory ? std::move(*directory) : UniqueFd();
}

void Container::SetFrozen(bool frozen, Done done) {
  if (!cgroup_) return done(MakeError(Code::kFailedPrecondition, "container is being created"));
  if (auto status = cgroup_->Freeze(frozen); !status) return done(std::move(status));
  CheckFrozen(frozen, 0, std::move(done));
}

void Container::CheckFrozen(bool frozen, int turn, Done done) {
  if (cgroup_->all_frozen() == frozen) return done({});
  if (turn >= kMaxTurns) {
    // Half frozen is no state that anybody knows.
    if (frozen) (void)cgroup_->Freeze(false);
    return done(MakeError(Code::kDeadlineExceeded, "container {}: a process does not {}", id_,
                          frozen ? "freeze" : "thaw"));
  }
  engine_.loop.AddTimer(Pause(turn), [this, frozen, turn, done = std::move(done),
                                      alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return done(MakeError(Code::kCancelled, "the container is gone"));
    CheckFrozen(frozen, turn + 1, done);
  });
}

void Container::Destroy(Done done) {
  if (!cgroup_) return done({});
  if (auto killed = cgroup_->KillAll(); !killed)
    base::log::Warning("container {}: {}", id_, killed.error().message());
  CheckGone(0, std::move(done));
}

bool Container::AllReaped() const {
  for (const auto& [id, process] : execs_)
    if (!process->exit()) return false;
  return !init_ || init_->exit();
}

void Container::CheckGone(int turn, Done done) {
  replayer_.reset();
  sockets_.clear();
  notify_sockets_.clear();
  // Those who wait for a process get its exit before it is forgotten.
  if (!cgroup_->populated() && AllReaped()) {
    auto removed = cgroup_->Remove();
    if (removed) {
      cgroup_.reset();
      return GiveBackAddedDisks(engine_.reaper, block_devices_, std::move(done));
    }
    if (turn >= kMaxTurns) return done(std::move(removed));
  }
  if (turn >= kMaxTurns)
    return done(MakeError(Code::kDeadlineExceeded, "container {}: its processes do not end", id_));
  engine_.loop.AddTimer(Pause(turn),
                        [this, turn, done = std::move(done), alive = std::weak_ptr<bool>(alive_)] {
                          if (alive.expired()) return done({});
                          CheckGone(turn + 1, done);
                        });
}

}  // namespace holt::guest_agent
