#include "guest-agent/container/child.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/close_fds.h"
#include "base/file.h"
#include "guest-agent/container/affinity.h"
#include "guest-agent/container/channel.h"
#include "guest-agent/container/finish.h"
#include "guest-agent/container/program.h"
#include "guest-agent/container/sysctl.h"
#include "guest-agent/container/time_namespace.h"
#include "guest-agent/container/user_namespace.h"
#include "guest-agent/mount/devices.h"
#include "guest-agent/mount/in_root.h"
#include "guest-agent/mount/mount_fd.h"
#include "guest-agent/mount/rootfs.h"
#include "oci/id_mapping.h"
#include "oci/run_hooks.h"
#include "oci/state.h"

namespace holt::guest_agent {
namespace {

using base::Result;
using base::Status;
using base::UniqueFd;

// Closes all descriptors but those of the plan, before any code of the container can see this
// process.
void CloseOthers(const ChildPlan& plan) {
  std::vector<int> keep = {plan.channel, plan.share, plan.cgroup, plan.user_namespace,
                           plan.container_pidfd};
  keep.insert(keep.end(), std::begin(plan.standard), std::end(plan.standard));
  keep.insert(keep.end(), plan.others.begin(), plan.others.end());
  // 0 to 2 are replaced by the process's own; until then they keep others from taking their
  // numbers.
  base::CloseAllBut(std::move(keep));
}

void ResetSignals() {
  for (int signal = 1; signal < 65; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// The agent's own /proc and /dev, opened while they are still what "/" means. Writes to /proc that
// are meant for the kernel go through this one: the container's could be made to lead elsewhere.
struct Trusted {
  UniqueFd proc;
  UniqueFd dev;
};
Result<Trusted> OpenTrusted() {
  Trusted trusted;
  TRY_ASSIGN(trusted.proc, base::Open("/proc", O_PATH | O_DIRECTORY));
  TRY_ASSIGN(trusted.dev, base::Open("/dev", O_PATH | O_DIRECTORY));
  return trusted;
}

// The agent itself is never a victim; its forks are not to inherit that.
Status SetOomScore(int proc, const oci::Process& process) {
  TRY_ASSIGN(UniqueFd file, base::OpenAt(proc, "self/oom_score_adj", O_WRONLY));
  TRY_CONTEXT(base::WriteFd(file.get(), std::to_string(process.oom_score_adj.value_or(0))),
              "process.oomScoreAdj");
  return {};
}

// Moves `fds` to 0, 1, 2, with none of them in another's way.
Status PlaceStandard(int in, int out, int err) {
  int wanted[3] = {in, out, err};
  UniqueFd copies[3];
  for (int i = 0; i < 3; ++i) {
    copies[i].Reset(fcntl(wanted[i], F_DUPFD_CLOEXEC, 3));
    if (!copies[i]) return HOLT_ERRNO("dup");
  }
  for (int i = 0; i < 3; ++i)
    if (dup2(copies[i].get(), i) < 0) return HOLT_ERRNO("dup2");
  return {};
}

// Opening /dev/stdout again is a check of permissions: pipes and ttys belong to the user.
void GiveToUser(int fd, uint32_t uid) {
  struct stat st {};
  if (fstat(fd, &st) != 0 || st.st_uid == uid) return;
  if (S_ISFIFO(st.st_mode) || isatty(fd)) (void)!fchown(fd, uid, static_cast<gid_t>(-1));
}

Status OpenStandard(const ChildPlan& plan, int root, int dev) {
  if (plan.terminal) {
    TRY_ASSIGN(Pty pty, OpenPty(root, plan.console_size));
    if (!plan.is_exec()) TRY(BindConsole(root, pty.slave.get()));
    SendMessage(plan.channel, ChannelMessage::Make(ChannelKind::kPty), pty.master.get());
    TRY(PlaceStandard(pty.slave.get(), pty.slave.get(), pty.slave.get()));
    if (ioctl(0, TIOCSCTTY, 0) != 0) return HOLT_ERRNO("make the pty the controlling terminal");
    return {};
  }
  TRY_ASSIGN(UniqueFd null, base::OpenAt(dev, "null", O_RDWR | O_NOFOLLOW));
  auto choose = [&](int fd) { return fd >= 0 ? fd : null.get(); };
  return PlaceStandard(choose(plan.standard[0]), choose(plan.standard[1]),
                       choose(plan.standard[2]));
}

Status SetNames(const oci::Config& config) {
  if (!config.hostname.empty() && sethostname(config.hostname.data(), config.hostname.size()) != 0)
    return HOLT_ERRNO("hostname");
  if (!config.domainname.empty() &&
      setdomainname(config.domainname.data(), config.domainname.size()) != 0)
    return HOLT_ERRNO("domainname");
  return {};
}

// A directory of the agent's in the namespace that this process is in: mounts of another one, the
// agent's, cannot be copied here (open_tree(2): EINVAL).
Result<UniqueFd> OpenHere(const Trusted& trusted, int directory) {
  char path[PATH_MAX];
  ssize_t length = readlinkat(trusted.proc.get(), fmt::format("self/fd/{}", directory).c_str(),
                              path, sizeof path);
  if (length < 0 || length == static_cast<ssize_t>(sizeof path))
    return HOLT_ERRNO("path of a directory");
  return base::Open(std::string(path, static_cast<size_t>(length)), O_PATH | O_DIRECTORY);
}

// The namespaces are new already; builds the container in them. Afterwards "/" is its root.
Status EnterNew(const ChildPlan& plan, const Trusted& trusted) {
  const oci::Config& config = *plan.config;
  bool cgroup_namespace = oci::FindNamespace(config, "cgroup") != nullptr;
  // Here, not in clone3(2): the namespace's root is the cgroup in which it is made.
  if (cgroup_namespace && unshare(CLONE_NEWCGROUP) != 0) return HOLT_ERRNO("cgroup namespace");
  if (oci::FindNamespace(config, "time"))
    TRY(EnterTimeNamespace(trusted.proc.get(), config.linux_->time_offsets));
  TRY(SetNames(config));
  if (config.linux_) TRY(WriteSysctls(trusted.proc.get(), config.linux_->sysctl));
  RootfsInputs inputs;
  inputs.config = &config;
  TRY_ASSIGN_CONTEXT(UniqueFd share, OpenHere(trusted, plan.share), "share");
  TRY_ASSIGN_CONTEXT(UniqueFd cgroup, OpenHere(trusted, plan.cgroup), "cgroup");
  inputs.share = share.get();
  inputs.dev = trusted.dev.get();
  inputs.mount_point = plan.mount_point;
  inputs.sockets = plan.sockets;
  inputs.cgroup = cgroup.get();
  inputs.cgroup_namespace = cgroup_namespace;
  TRY(BeginFilesOfRoot(config));
  TRY_ASSIGN(UniqueFd root, SetUpRootfs(inputs));
  TRY(OpenStandard(plan, root.get(), trusted.dev.get()));
  TRY_CONTEXT(MakeDirsInRoot(root.get(), plan.process->cwd), "process.cwd");
  TRY(EndFilesOfRoot(config));
  if (config.root->readonly)
    TRY_CONTEXT(SetAttributes(root.get(), MOUNT_ATTR_RDONLY, 0, false), "root.readonly");
  return PivotInto(root.get(), config.linux_ ? config.linux_->rootfs_propagation : "");
}

// The namespaces of the container's first process, whose root becomes ours with its mounts.
Status EnterExisting(const ChildPlan& plan, const Trusted& trusted) {
  if (plan.process->exec_cpu_affinity)
    TRY(SetAffinity(plan.process->exec_cpu_affinity->initial, "process.execCPUAffinity.initial"));
  int namespaces = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_NEWTIME;
  if (setns(plan.container_pidfd, namespaces) != 0) return HOLT_ERRNO("join the container");
  TRY_ASSIGN(UniqueFd root, base::Open("/", O_PATH | O_DIRECTORY));
  return OpenStandard(plan, root.get(), trusted.dev.get());
}

// Everything that takes privileges outside of the container's user namespace has been done then.
Status EnterUsers(const ChildPlan& plan, const ResolvedUser& user) {
  uint32_t uid = user.uid;
  if (HasUserNamespace(*plan.config)) {
    auto outside = oci::OutsideId(plan.config->linux_->uid_mappings, user.uid);
    if (!outside || !oci::OutsideId(plan.config->linux_->gid_mappings, user.gid))
      return base::MakeError(base::Code::kInvalidArgument,
                             "process.user: {}:{} is not among the ids of linux.uidMappings and "
                             "linux.gidMappings",
                             user.uid, user.gid);
    uid = *outside;
  }
  for (int fd = 0; fd < 3; ++fd) GiveToUser(fd, uid);
  for (int fd : plan.others) GiveToUser(fd, uid);
  TRY(SetLimits(*plan.process,
                plan.config->linux_ ? plan.config->linux_->personality : std::nullopt));
  if (plan.is_exec()) return JoinUserNamespace(plan.container_pidfd, *plan.config);
  return EnterUserNamespace(plan.user_namespace, *plan.config);
}

Result<Prepared> Prepare(const ChildPlan& plan) {
  const oci::Process& process = *plan.process;
  Prepared prepared;
  TRY_ASSIGN(UniqueFd root, base::Open("/", O_PATH | O_DIRECTORY));
  TRY_ASSIGN(prepared.user, ResolveUserInRoot(root.get(), process.user));
  root.Reset();
  TRY(EnterUsers(plan, prepared.user));
  prepared.capabilities = ResolveCapabilities(process.capabilities);
  for (const std::string& name : prepared.capabilities.unknown)
    SendMessage(plan.channel,
                ChannelMessage::Make(ChannelKind::kWarning, "process.capabilities: " + name +
                                                                " is unknown here, ignored"));
  if (plan.config->linux_ && plan.config->linux_->seccomp) {
    TRY_ASSIGN(prepared.seccomp, CompileSeccomp(*plan.config->linux_->seccomp));
  }
  prepared.environment = process.env;
  auto has = [&](std::string_view name) {
    return std::any_of(process.env.begin(), process.env.end(),
                       [&](const std::string& variable) { return variable.starts_with(name); });
  };
  if (!has("HOME=")) prepared.environment.push_back("HOME=" + prepared.user.home);
  if (plan.terminal && !has("TERM=")) prepared.environment.push_back("TERM=xterm");
  // Engines tell a command that does not exist from other failures by an error of create. What is
  // relative to the working directory is known when that is entered.
  const std::string& program = process.args[0];
  if (!plan.is_exec() && (program[0] == '/' || program.find('/') == std::string::npos))
    TRY(FindProgram(program, prepared.environment));
  return prepared;
}

std::string StateForHooks(const ChildPlan& plan) {
  oci::State state;
  state.oci_version = plan.config->oci_version;
  state.id = plan.container_id;
  state.status = oci::Status::kCreated;
  state.pid = getpid();
  state.bundle = plan.bundle;
  state.annotations = plan.config->annotations;
  return SerializeState(state);
}

base::Error Run(const ChildPlan& plan) {
  auto trusted = OpenTrusted();
  if (!trusted) return std::move(trusted).error();
  if (setsid() < 0) return HOLT_ERRNO("setsid");
  // Keys are not namespaced: without a keyring of its own, a container would see the agent's.
  syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, ("holt." + plan.container_id).c_str());
  if (auto set = SetOomScore(trusted->proc.get(), *plan.process); !set)
    return std::move(set).error();
  auto entered = plan.is_exec() ? EnterExisting(plan, *trusted) : EnterNew(plan, *trusted);
  if (!entered) return std::move(entered).error();
  *trusted = {};
  auto prepared = Prepare(plan);
  if (!prepared) return std::move(prepared).error();
  SendMessage(plan.channel, ChannelMessage::Make(ChannelKind::kReady));
  if (!AwaitGo(plan.channel)) _exit(0);
  if (!plan.is_exec() && plan.config->hooks) {
    auto hooks = oci::RunHooks(plan.config->hooks->start_container, "hooks.startContainer",
                               StateForHooks(plan));
    if (!hooks) return std::move(hooks).error();
  }
  // For its first process the specification gives it no meaning.
  if (plan.is_exec() && plan.process->exec_cpu_affinity) {
    auto bound =
        SetAffinity(plan.process->exec_cpu_affinity->final_set, "process.execCPUAffinity.final");
    if (!bound) return std::move(bound).error();
  }
  return FinishAndExec(*plan.process, *prepared, plan.others);
}

// Out of the way of the numbers that the process's own descriptors get in the end: what fails last
// is still told.
int MoveAbove(int fd, size_t others) {
  const int moved = fcntl(fd, F_DUPFD_CLOEXEC, static_cast<int>(3 + others));
  if (moved < 0) return fd;
  close(fd);
  return moved;
}

}  // namespace

void RunChild(const ChildPlan& given) {
  ChildPlan plan = given;
  CloseOthers(plan);
  plan.channel = MoveAbove(plan.channel, plan.others.size());
  ResetSignals();
  base::Error error = Run(plan);
  SendMessage(plan.channel, ChannelMessage::Failed(error));
  _exit(error.code() == base::Code::kPermissionDenied ? 126 : 127);
}

}  // namespace holt::guest_agent
