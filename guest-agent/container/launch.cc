#include "guest-agent/container/launch.h"

#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::UniqueFd;

uint64_t NamespaceFlags(const oci::Config& config) {
  uint64_t flags = CLONE_NEWNS | CLONE_NEWPID;  // these two always: CheckConfig demands them
  if (oci::FindNamespace(config, "ipc")) flags |= CLONE_NEWIPC;
  if (oci::FindNamespace(config, "uts")) flags |= CLONE_NEWUTS;
  return flags;
}

// fork(2) with clone3's arguments. Returns 0 in the child.
// SAFETY: without CLONE_VM this is a fork; the agent has one thread, so no lock is held across it.
long Clone(uint64_t flags, int cgroup, int* pidfd) {
  clone_args args{};
  args.flags = flags | CLONE_PIDFD | CLONE_INTO_CGROUP;
  args.pidfd = reinterpret_cast<uint64_t>(pidfd);
  args.exit_signal = SIGCHLD;
  args.cgroup = static_cast<uint64_t>(cgroup);
  return syscall(SYS_clone3, &args, sizeof args);
}

}  // namespace

Result<Launched> Launch(const ChildPlan& plan, int fallback_cgroup) {
  uint64_t flags = 0;
  UniqueFd self;
  if (plan.is_exec()) {
    self.Reset(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)));
    if (!self) return HOLT_ERRNO("pidfd_open");
    // Only children are born there; the agent itself stays where it is.
    if (setns(plan.container_pidfd, CLONE_NEWPID) != 0)
      return HOLT_ERRNO("join the container's pid namespace");
  } else {
    flags = NamespaceFlags(*plan.config);
  }
  int pidfd = -1;
  long pid = Clone(flags, plan.cgroup, &pidfd);
  if (pid < 0 && errno == EBUSY && fallback_cgroup >= 0)
    pid = Clone(flags, fallback_cgroup, &pidfd);
  int err = errno;
  if (pid == 0) RunChild(plan);
  if (plan.is_exec()) HOLT_CHECK(setns(self.get(), CLONE_NEWPID) == 0);
  if (pid < 0) {
    // A pid namespace without its first process takes no other.
    if (plan.is_exec() && err == ENOMEM)
      return MakeError(Code::kFailedPrecondition, "container not running");
    return base::ErrnoError(err, "fork into the container");
  }
  return Launched{static_cast<pid_t>(pid), UniqueFd(pidfd)};
}

}  // namespace holt::guest_agent
