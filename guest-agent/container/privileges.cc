#include "guest-agent/container/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/ioprio.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/capability.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;
using base::Status;

// struct sched_attr of linux/sched/types.h, which glibc's <sched.h> does not go together with.
struct SchedAttributes {
  uint32_t size;
  uint32_t sched_policy;
  uint64_t sched_flags;
  int32_t sched_nice;
  uint32_t sched_priority;
  uint64_t sched_runtime;
  uint64_t sched_deadline;
  uint64_t sched_period;
  uint32_t sched_util_min;
  uint32_t sched_util_max;
};

struct NamedNumber {
  std::string_view name;
  int number;
};
constexpr NamedNumber kRlimits[] = {
    {"RLIMIT_AS", RLIMIT_AS},
    {"RLIMIT_CORE", RLIMIT_CORE},
    {"RLIMIT_CPU", RLIMIT_CPU},
    {"RLIMIT_DATA", RLIMIT_DATA},
    {"RLIMIT_FSIZE", RLIMIT_FSIZE},
    {"RLIMIT_LOCKS", RLIMIT_LOCKS},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
    {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
    {"RLIMIT_NICE", RLIMIT_NICE},
    {"RLIMIT_NOFILE", RLIMIT_NOFILE},
    {"RLIMIT_NPROC", RLIMIT_NPROC},
    {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
    {"RLIMIT_RTTIME", RLIMIT_RTTIME},
    {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    {"RLIMIT_STACK", RLIMIT_STACK},
};
constexpr NamedNumber kPolicies[] = {
    {"SCHED_OTHER", SCHED_OTHER}, {"SCHED_BATCH", SCHED_BATCH}, {"SCHED_IDLE", SCHED_IDLE},
    {"SCHED_FIFO", SCHED_FIFO},   {"SCHED_RR", SCHED_RR},       {"SCHED_DEADLINE", SCHED_DEADLINE},
};
constexpr NamedNumber kSchedulerFlags[] = {
    {"SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK},
    {"SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM},
    {"SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN},
    {"SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY},
    {"SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS},
    {"SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN},
    {"SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX},
};

template <size_t N>
int Lookup(const NamedNumber (&table)[N], std::string_view name) {
  for (const NamedNumber& entry : table)
    if (entry.name == name) return entry.number;
  return -1;
}

uint64_t Mask(const oci::Strings& names, std::vector<std::string>& unknown) {
  uint64_t mask = 0;
  for (const std::string& name : names) {
    cap_value_t value;
    if (cap_from_name(name.c_str(), &value) != 0 || value < 0 || value > 63) {
      unknown.push_back(name);
      continue;
    }
    if (prctl(PR_CAPBSET_READ, value) < 0) {
      unknown.push_back(name);  // of a kernel newer than this one
      continue;
    }
    mask |= uint64_t{1} << value;
  }
  return mask;
}

// libcap's cap_set_proc through its own types would need a flag call per capability; the masks go
// to capset(2) as they are.
Status SetCapabilitySets(const CapabilityMasks& masks) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  for (int half = 0; half < 2; ++half) {
    auto part = [half](uint64_t mask) { return static_cast<uint32_t>(mask >> (32 * half)); };
    data[half].effective = part(masks.effective);
    data[half].permitted = part(masks.permitted);
    data[half].inheritable = part(masks.inheritable);
  }
  if (syscall(SYS_capset, &header, data) != 0) return HOLT_ERRNO("process.capabilities: capset");
  return {};
}

}  // namespace

CapabilityMasks ResolveCapabilities(const std::optional<oci::Capabilities>& capabilities) {
  CapabilityMasks masks;
  if (!capabilities) return masks;
  masks.bounding = Mask(capabilities->bounding, masks.unknown);
  masks.effective = Mask(capabilities->effective, masks.unknown);
  masks.inheritable = Mask(capabilities->inheritable, masks.unknown);
  masks.permitted = Mask(capabilities->permitted, masks.unknown);
  masks.ambient = Mask(capabilities->ambient, masks.unknown);
  return masks;
}

Status SetRlimits(const std::vector<oci::Rlimit>& rlimits) {
  // Not the agent's own: select(2) knows no descriptor beyond 1023.
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = std::min<rlim_t>(files.rlim_max, 1024);
    if (setrlimit(RLIMIT_NOFILE, &files) != 0) return HOLT_ERRNO("RLIMIT_NOFILE");
  }
  for (size_t i = 0; i < rlimits.size(); ++i) {
    rlimit limit{rlimits[i].soft, rlimits[i].hard};
    int resource = Lookup(kRlimits, rlimits[i].type);
    if (setrlimit(static_cast<__rlimit_resource_t>(resource), &limit) != 0)
      return HOLT_ERRNO("process.rlimits[{}]: {}", i, rlimits[i].type);
  }
  return {};
}

Status SetScheduler(const oci::Scheduler& scheduler) {
  int policy = Lookup(kPolicies, scheduler.policy);
  if (policy < 0)
    return MakeError(Code::kUnsupported, "process.scheduler.policy: {} is not known to Linux",
                     scheduler.policy);
  SchedAttributes attributes{};
  attributes.size = sizeof attributes;
  attributes.sched_policy = static_cast<uint32_t>(policy);
  attributes.sched_nice = scheduler.nice.value_or(0);
  attributes.sched_priority = static_cast<uint32_t>(scheduler.priority.value_or(0));
  attributes.sched_runtime = scheduler.runtime.value_or(0);
  attributes.sched_deadline = scheduler.deadline.value_or(0);
  attributes.sched_period = scheduler.period.value_or(0);
  for (const std::string& flag : scheduler.flags)
    attributes.sched_flags |= static_cast<uint64_t>(Lookup(kSchedulerFlags, flag));
  if (syscall(SYS_sched_setattr, 0, &attributes, 0) != 0) return HOLT_ERRNO("process.scheduler");
  return {};
}

Status SetIoPriority(const oci::IoPriority& priority) {
  int klass = priority.klass == "IOPRIO_CLASS_RT"   ? IOPRIO_CLASS_RT
              : priority.klass == "IOPRIO_CLASS_BE" ? IOPRIO_CLASS_BE
                                                    : IOPRIO_CLASS_IDLE;
  int value = (klass << IOPRIO_CLASS_SHIFT) | priority.priority;
  if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) != 0)
    return HOLT_ERRNO("process.ioPriority");
  return {};
}

Status SetPersonality(const oci::Personality& personality_spec) {
  unsigned long domain = personality_spec.domain == "LINUX32" ? PER_LINUX32 : PER_LINUX;
  if (personality(domain) < 0) return HOLT_ERRNO("linux.personality");
  return {};
}

Status SwitchUser(const ResolvedUser& user, const CapabilityMasks& masks) {
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
    if (masks.bounding >> capability & 1) continue;
    if (prctl(PR_CAPBSET_DROP, capability) != 0)
      return HOLT_ERRNO("process.capabilities.bounding: drop {}", capability);
  }
  // The permitted set must outlive the change of uid for as long as it takes to set the new one.
  if (prctl(PR_SET_KEEPCAPS, 1) != 0) return HOLT_ERRNO("PR_SET_KEEPCAPS");
  if (setgroups(user.groups.size(), user.groups.data()) != 0)
    return HOLT_ERRNO("process.user.additionalGids");
  if (setresgid(user.gid, user.gid, user.gid) != 0) return HOLT_ERRNO("process.user.gid");
  if (setresuid(user.uid, user.uid, user.uid) != 0) return HOLT_ERRNO("process.user.uid");
  if (prctl(PR_SET_KEEPCAPS, 0) != 0) return HOLT_ERRNO("PR_SET_KEEPCAPS");
  TRY(SetCapabilitySets(masks));
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
    return HOLT_ERRNO("process.capabilities.ambient: clear");
  for (int capability = 0; capability < 64; ++capability) {
    if (!(masks.ambient >> capability & 1)) continue;
    // Only what is permitted and inheritable can be: engines (buildah) name ambient ones that are
    // not inheritable, and runtimes leave those out.
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) != 0 && errno != EPERM)
      return HOLT_ERRNO("process.capabilities.ambient: raise {}", capability);
  }
  return {};
}

}  // namespace holt::guest_agent
