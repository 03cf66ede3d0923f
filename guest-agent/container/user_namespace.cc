#include "guest-agent/container/user_namespace.h"

#include <fcntl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/file.h"
#include "base/user_namespace.h"
#include "oci/id_mapping.h"

namespace holt::guest_agent {
namespace {

using base::Result;
using base::Status;
using base::UniqueFd;

// The container's root, seen from outside. Mappings need not have it: then it stays the agent's.
uint32_t RootUid(const oci::Linux& spec) { return OutsideId(spec.uid_mappings, 0).value_or(0); }
uint32_t RootGid(const oci::Linux& spec) { return OutsideId(spec.gid_mappings, 0).value_or(0); }

Status SetFileIds(uint32_t uid, uint32_t gid) {
  setfsuid(uid);
  setfsgid(gid);
  // They return what was; an impossible id tells what is.
  if (static_cast<uint32_t>(setfsuid(UINT32_MAX)) != uid ||
      static_cast<uint32_t>(setfsgid(UINT32_MAX)) != gid)
    return base::MakeError(base::Code::kInternal, "set the owner of new files");
  return {};
}

// All of its capabilities are the process's; its ids are still the agent's, which nobody has there.
Status BecomeRoot(const oci::Linux& spec) {
  if (OutsideId(spec.gid_mappings, 0) && setresgid(0, 0, 0) != 0) return HOLT_ERRNO("setresgid");
  if (OutsideId(spec.uid_mappings, 0) && setresuid(0, 0, 0) != 0) return HOLT_ERRNO("setresuid");
  return {};
}

}  // namespace

bool HasUserNamespace(const oci::Config& config) {
  return oci::FindNamespace(config, "user") != nullptr;
}

Result<UniqueFd> MakeContainerUserNamespace(const oci::Linux& linux_spec) {
  TRY_ASSIGN_CONTEXT(UniqueFd made,
                     base::MakeUserNamespace(oci::IdRanges(linux_spec.uid_mappings),
                                             oci::IdRanges(linux_spec.gid_mappings)),
                     "linux");
  // The network is the machine's, where root of a user namespace is nobody: what root always can
  // is allowed to all. It is the container's own machine.
  TRY(base::WriteFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"));
  TRY(base::WriteFile("/proc/sys/net/ipv4/ping_group_range", "0 2147483647"));
  return made;
}

Status GiveCgroupToRoot(int cgroup, const oci::Linux& linux_spec) {
  // The files of /sys/kernel/cgroup/delegate that move processes and divide; limits stay ours.
  for (const char* name : {".", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"})
    if (fchownat(cgroup, name, RootUid(linux_spec), RootGid(linux_spec), AT_SYMLINK_NOFOLLOW) != 0)
      return HOLT_ERRNO("{}", name);
  return {};
}

Status BeginFilesOfRoot(const oci::Config& config) {
  if (!HasUserNamespace(config)) return {};
  if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) != 0) return HOLT_ERRNO("PR_SET_SECUREBITS");
  return SetFileIds(RootUid(*config.linux_), RootGid(*config.linux_));
}

Status EndFilesOfRoot(const oci::Config& config) {
  if (!HasUserNamespace(config)) return {};
  TRY(SetFileIds(0, 0));
  if (prctl(PR_SET_SECUREBITS, 0) != 0) return HOLT_ERRNO("PR_SET_SECUREBITS");
  return {};
}

Status EnterUserNamespace(int user_namespace, const oci::Config& config) {
  if (!HasUserNamespace(config)) return {};
  if (setns(user_namespace, CLONE_NEWUSER) != 0) return HOLT_ERRNO("user namespace");
  // Who owns a namespace is settled when it is made: these are copies of those that were set up.
  int owned = CLONE_NEWNS;
  if (oci::FindNamespace(config, "uts")) owned |= CLONE_NEWUTS;
  if (oci::FindNamespace(config, "cgroup")) owned |= CLONE_NEWCGROUP;
  if (unshare(owned) != 0) return HOLT_ERRNO("namespaces of the user namespace");
  return BecomeRoot(*config.linux_);
}

Status JoinUserNamespace(int container_pidfd, const oci::Config& config) {
  if (!HasUserNamespace(config)) return {};
  if (setns(container_pidfd, CLONE_NEWUSER) != 0) return HOLT_ERRNO("join the user namespace");
  return BecomeRoot(*config.linux_);
}

}  // namespace holt::guest_agent
