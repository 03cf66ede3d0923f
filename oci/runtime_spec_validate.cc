#include <algorithm>
#include <array>
#include <set>
#include <span>

#include "oci/cpu_list.h"
#include "oci/known_values.h"
#include "oci/runtime_spec.h"

namespace holt::oci {
namespace {

using base::Code;
using base::Status;
using Names = std::span<const std::string_view>;

constexpr HookKind kHookKinds[] = {
    {"prestart", &Hooks::prestart},
    {"createRuntime", &Hooks::create_runtime},
    {"createContainer", &Hooks::create_container},
    {"startContainer", &Hooks::start_container},
    {"poststart", &Hooks::poststart},
    {"poststop", &Hooks::poststop},
};
constexpr std::string_view kNamespaceTypes[] = {"pid", "network", "mount",  "ipc",
                                                "uts", "user",    "cgroup", "time"};
constexpr std::string_view kPropagations[] = {"shared",  "rshared",  "slave",      "rslave",
                                              "private", "rprivate", "unbindable", "runbindable"};
constexpr std::string_view kRlimits[] = {
    "RLIMIT_AS",     "RLIMIT_CORE",   "RLIMIT_CPU",        "RLIMIT_DATA",
    "RLIMIT_FSIZE",  "RLIMIT_LOCKS",  "RLIMIT_MEMLOCK",    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",   "RLIMIT_NOFILE", "RLIMIT_NPROC",      "RLIMIT_RSS",
    "RLIMIT_RTPRIO", "RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_STACK"};
constexpr std::string_view kSchedulers[] = {"SCHED_OTHER",   "SCHED_BATCH", "SCHED_IDLE",
                                            "SCHED_FIFO",    "SCHED_RR",    "SCHED_ISO",
                                            "SCHED_DEADLINE"};
constexpr std::string_view kSchedulerFlags[] = {
    "SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM",     "SCHED_FLAG_DL_OVERRUN",
    "SCHED_FLAG_KEEP_POLICY",   "SCHED_FLAG_KEEP_PARAMS", "SCHED_FLAG_UTIL_CLAMP_MIN",
    "SCHED_FLAG_UTIL_CLAMP_MAX"};
constexpr std::string_view kIoClasses[] = {"IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE",
                                           "IOPRIO_CLASS_IDLE"};
constexpr std::string_view kSeccompActions[] = {
    "SCMP_ACT_KILL",  "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",  "SCMP_ACT_ERRNO",        "SCMP_ACT_TRACE",
    "SCMP_ACT_ALLOW", "SCMP_ACT_LOG",          "SCMP_ACT_NOTIFY"};
constexpr std::string_view kSeccompArchs[] = {
    "SCMP_ARCH_X86",     "SCMP_ARCH_X86_64",   "SCMP_ARCH_X32",         "SCMP_ARCH_ARM",
    "SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS",     "SCMP_ARCH_MIPS64",      "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",  "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",   "SCMP_ARCH_PPC64LE",  "SCMP_ARCH_S390",        "SCMP_ARCH_S390X",
    "SCMP_ARCH_PARISC",  "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64",     "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",    "SCMP_ARCH_SH",       "SCMP_ARCH_SHEB"};
constexpr std::string_view kSeccompFlags[] = {
    "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"};
constexpr std::string_view kSeccompOperators[] = {"SCMP_CMP_NE",       "SCMP_CMP_LT", "SCMP_CMP_LE",
                                                  "SCMP_CMP_EQ",       "SCMP_CMP_GE", "SCMP_CMP_GT",
                                                  "SCMP_CMP_MASKED_EQ"};
constexpr std::string_view kMemoryModes[] = {
    "MPOL_DEFAULT",   "MPOL_BIND",           "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE",
    "MPOL_PREFERRED", "MPOL_PREFERRED_MANY", "MPOL_LOCAL"};
constexpr std::string_view kMemoryFlags[] = {"MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES",
                                             "MPOL_F_STATIC_NODES"};
constexpr std::string_view kImageFormats[] = {"raw", "qcow2", "vdi", "vmdk", "vhd"};

bool OneOf(std::string_view value, Names names) {
  return std::find(names.begin(), names.end(), value) != names.end();
}

std::string Shortened(std::string_view text) {
  return text.size() <= 100 ? std::string(text) : std::string(text.substr(0, 100)) + "…";
}

template <typename... Args>
base::Error Invalid(const std::string& path, fmt::format_string<Args...> format, Args&&... args) {
  return base::Error(Code::kInvalidArgument,
                     path + ": " + fmt::format(format, std::forward<Args>(args)...));
}

Status Member(const std::string& path, std::string_view value, Names names) {
  if (value.empty()) return Invalid(path, "is required");
  if (OneOf(value, names)) return {};
  return Invalid(path, "\"{}\" is none of {}", Shortened(value),
                 fmt::join(names.begin(), names.end(), ", "));
}

Status Members(const std::string& path, const Strings& values, Names names) {
  for (size_t i = 0; i < values.size(); ++i)
    TRY(Member(fmt::format("{}[{}]", path, i), values[i], names));
  return {};
}

Status Absolute(const std::string& path, std::string_view value) {
  if (value.empty()) return Invalid(path, "is required");
  if (value[0] != '/') return Invalid(path, "\"{}\" is not an absolute path", Shortened(value));
  return {};
}

Status AbsoluteAll(const std::string& path, const Strings& values) {
  for (size_t i = 0; i < values.size(); ++i)
    TRY(Absolute(fmt::format("{}[{}]", path, i), values[i]));
  return {};
}

Status Environment(const std::string& path, const Strings& env) {
  for (size_t i = 0; i < env.size(); ++i) {
    size_t equals = env[i].find('=');
    if (equals == std::string::npos || equals == 0)
      return Invalid(fmt::format("{}[{}]", path, i), "\"{}\" is not NAME=value", Shortened(env[i]));
  }
  return {};
}

Status Mappings(const std::string& path, const std::vector<IdMapping>& mappings) {
  for (size_t i = 0; i < mappings.size(); ++i) {
    const IdMapping& mapping = mappings[i];
    std::string item = fmt::format("{}[{}]", path, i);
    if (mapping.size == 0) return Invalid(item + ".size", "must be at least 1");
    if (uint64_t{mapping.container_id} + mapping.size > UINT32_MAX ||
        uint64_t{mapping.host_id} + mapping.size > UINT32_MAX)
      return Invalid(item, "goes beyond the last id");
    for (size_t j = 0; j < i; ++j) {
      const IdMapping& other = mappings[j];
      auto overlap = [](uint64_t a, uint64_t an, uint64_t b, uint64_t bn) {
        return a < b + bn && b < a + an;
      };
      if (overlap(mapping.container_id, mapping.size, other.container_id, other.size) ||
          overlap(mapping.host_id, mapping.size, other.host_id, other.size))
        return Invalid(item, "overlaps {}[{}]", path, j);
    }
  }
  return {};
}

Status ValidateRlimits(const std::string& path, const std::vector<Rlimit>& rlimits) {
  std::set<std::string_view> seen;
  for (size_t i = 0; i < rlimits.size(); ++i) {
    std::string item = fmt::format("{}[{}]", path, i);
    TRY(Member(item + ".type", rlimits[i].type, kRlimits));
    if (!seen.insert(rlimits[i].type).second)
      return Invalid(item + ".type", "{} is given twice", rlimits[i].type);
    if (rlimits[i].soft > rlimits[i].hard)
      return Invalid(item + ".soft", "{} is more than the hard limit {}", rlimits[i].soft,
                     rlimits[i].hard);
  }
  return {};
}

Status ValidateMounts(const std::vector<Mount>& mounts) {
  for (size_t i = 0; i < mounts.size(); ++i) {
    std::string item = fmt::format("mounts[{}]", i);
    if (mounts[i].destination.empty()) return Invalid(item + ".destination", "is required");
    TRY(Mappings(item + ".uidMappings", mounts[i].uid_mappings));
    TRY(Mappings(item + ".gidMappings", mounts[i].gid_mappings));
    if (mounts[i].uid_mappings.empty() != mounts[i].gid_mappings.empty())
      return Invalid(item, "uidMappings and gidMappings must be given together");
    for (size_t j = 0; j < mounts[i].options.size(); ++j)
      if (mounts[i].options[j].empty())
        return Invalid(fmt::format("{}.options[{}]", item, j), "is empty");
  }
  return {};
}

Status ValidateHooks(const Hooks& hooks) {
  for (const HookKind& kind : kHookKinds) {
    const std::vector<Hook>& list = hooks.*kind.list;
    for (size_t i = 0; i < list.size(); ++i) {
      const Hook& hook = list[i];
      std::string item = fmt::format("hooks.{}[{}]", kind.name, i);
      TRY(Absolute(item + ".path", hook.path));
      TRY(Environment(item + ".env", hook.env));
      if (hook.timeout && *hook.timeout <= 0) return Invalid(item + ".timeout", "must be positive");
    }
  }
  return {};
}

Status ValidateSeccomp(const Seccomp& seccomp) {
  const std::string path = "linux.seccomp";
  TRY(Member(path + ".defaultAction", seccomp.default_action, kSeccompActions));
  TRY(Members(path + ".architectures", seccomp.architectures, kSeccompArchs));
  TRY(Members(path + ".flags", seccomp.flags, kSeccompFlags));
  if (seccomp.default_errno_ret && seccomp.default_action != "SCMP_ACT_ERRNO" &&
      seccomp.default_action != "SCMP_ACT_TRACE")
    return Invalid(path + ".defaultErrnoRet", "has no meaning with {}", seccomp.default_action);
  if (seccomp.default_errno_ret.value_or(0) > UINT16_MAX)
    return Invalid(path + ".defaultErrnoRet", "is more than {}", UINT16_MAX);
  if (!seccomp.listener_path.empty()) TRY(Absolute(path + ".listenerPath", seccomp.listener_path));
  for (size_t i = 0; i < seccomp.syscalls.size(); ++i) {
    const SeccompSyscall& rule = seccomp.syscalls[i];
    std::string item = fmt::format("{}.syscalls[{}]", path, i);
    if (rule.names.empty()) return Invalid(item + ".names", "must name at least one system call");
    TRY(Member(item + ".action", rule.action, kSeccompActions));
    if (rule.errno_ret.value_or(0) > UINT16_MAX)
      return Invalid(item + ".errnoRet", "is more than {}", UINT16_MAX);
    for (size_t j = 0; j < rule.args.size(); ++j) {
      std::string arg = fmt::format("{}.args[{}]", item, j);
      if (rule.args[j].index > 5) return Invalid(arg + ".index", "must be 0 to 5");
      TRY(Member(arg + ".op", rule.args[j].op, kSeccompOperators));
    }
  }
  return {};
}

Status ValidateNamespaces(const Config& config) {
  const Linux& linux_spec = *config.linux_;
  std::set<std::string_view> seen;
  for (size_t i = 0; i < linux_spec.namespaces.size(); ++i) {
    const Namespace& entry = linux_spec.namespaces[i];
    std::string item = fmt::format("linux.namespaces[{}]", i);
    TRY(Member(item + ".type", entry.type, kNamespaceTypes));
    if (!seen.insert(entry.type).second)
      return Invalid(item + ".type", "{} is given twice", entry.type);
    if (!entry.path.empty()) TRY(Absolute(item + ".path", entry.path));
  }
  if (!linux_spec.uid_mappings.empty() || !linux_spec.gid_mappings.empty()) {
    if (!seen.contains("user"))
      return Invalid("linux.uidMappings", "given without a user namespace");
  }
  if (!linux_spec.time_offsets.empty() && !seen.contains("time"))
    return Invalid("linux.timeOffsets", "given without a time namespace");
  if (!config.hostname.empty() && !seen.contains("uts"))
    return Invalid("hostname", "given without a uts namespace");
  if (!config.domainname.empty() && !seen.contains("uts"))
    return Invalid("domainname", "given without a uts namespace");
  return {};
}

Status ValidateDevices(const std::vector<Device>& devices) {
  constexpr std::string_view kTypes[] = {"c", "u", "b", "p"};
  for (size_t i = 0; i < devices.size(); ++i) {
    const Device& device = devices[i];
    std::string item = fmt::format("linux.devices[{}]", i);
    TRY(Absolute(item + ".path", device.path));
    TRY(Member(item + ".type", device.type, kTypes));
    if (device.type != "p" && (device.major < 0 || device.major > 0xfff))
      return Invalid(item + ".major", "{} is not a device number", device.major);
    if (device.type != "p" && (device.minor < 0 || device.minor > 0xfffff))
      return Invalid(item + ".minor", "{} is not a device number", device.minor);
  }
  return {};
}

Status ValidateLinux(const Config& config) {
  const Linux& linux_spec = *config.linux_;
  TRY(ValidateNamespaces(config));
  TRY(Mappings("linux.uidMappings", linux_spec.uid_mappings));
  TRY(Mappings("linux.gidMappings", linux_spec.gid_mappings));
  const Namespace* user = FindNamespace(config, "user");
  if (user != nullptr && user->path.empty()) {
    if (linux_spec.uid_mappings.empty())
      return Invalid("linux.uidMappings", "is required by a user namespace");
    if (linux_spec.gid_mappings.empty())
      return Invalid("linux.gidMappings", "is required by a user namespace");
  }
  TRY(ValidateDevices(linux_spec.devices));
  TRY(AbsoluteAll("linux.maskedPaths", linux_spec.masked_paths));
  TRY(AbsoluteAll("linux.readonlyPaths", linux_spec.readonly_paths));
  if (!linux_spec.rootfs_propagation.empty())
    TRY(Member("linux.rootfsPropagation", linux_spec.rootfs_propagation, kPropagations));
  if (linux_spec.resources) TRY(ValidateResources(*linux_spec.resources));
  if (linux_spec.seccomp) TRY(ValidateSeccomp(*linux_spec.seccomp));
  if (linux_spec.personality) {
    constexpr std::string_view kDomains[] = {"LINUX", "LINUX32"};
    TRY(Member("linux.personality.domain", linux_spec.personality->domain, kDomains));
    if (!linux_spec.personality->flags.empty())
      return Invalid("linux.personality.flags", "the specification defines no flag yet");
  }
  for (const auto& [clock, offset] : linux_spec.time_offsets) {
    std::string item = fmt::format("linux.timeOffsets[\"{}\"]", Shortened(clock));
    if (clock != "monotonic" && clock != "boottime")
      return Invalid(item, "is none of monotonic, boottime");
    if (offset.nanosecs > 999'999'999) return Invalid(item + ".nanosecs", "is a second or more");
  }
  for (const auto& [name, device] : linux_spec.net_devices) {
    std::string item = fmt::format("linux.netDevices[\"{}\"]", Shortened(name));
    if (name.empty() || name.size() > 15 || device.name.size() > 15)
      return Invalid(item, "an interface name has 1 to 15 bytes");
  }
  for (const auto& [key, value] : linux_spec.sysctl) {
    std::string item = fmt::format("linux.sysctl[\"{}\"]", Shortened(key));
    if (key.empty() || key.front() == '/' || key.find("..") != std::string::npos)
      return Invalid(item, "is not the name of a sysctl");
  }
  if (linux_spec.memory_policy) {
    TRY(Member("linux.memoryPolicy.mode", linux_spec.memory_policy->mode, kMemoryModes));
    TRY(Members("linux.memoryPolicy.flags", linux_spec.memory_policy->flags, kMemoryFlags));
  }
  if (linux_spec.intel_rdt) {
    const std::string& id = linux_spec.intel_rdt->clos_id;
    if (id == "." || id == ".." || (id.size() > 1 && id.find('/') != std::string::npos))
      return Invalid("linux.intelRdt.closID", "\"{}\" is not a directory name", Shortened(id));
  }
  return {};
}

Status ValidateVm(const Vm& vm) {
  if (vm.hypervisor) TRY(Absolute("vm.hypervisor.path", vm.hypervisor->path));
  if (vm.kernel) TRY(Absolute("vm.kernel.path", vm.kernel->path));
  if (vm.kernel && !vm.kernel->initrd.empty()) TRY(Absolute("vm.kernel.initrd", vm.kernel->initrd));
  if (vm.image) {
    TRY(Absolute("vm.image.path", vm.image->path));
    TRY(Member("vm.image.format", vm.image->format, kImageFormats));
  }
  if (vm.hw_config && vm.hw_config->vcpus && *vm.hw_config->vcpus == 0)
    return Invalid("vm.hwConfig.vcpus", "must be at least 1");
  return {};
}

// "1." and then at least a digit: 1.x of any kind, also "1.0.2-dev".
bool SupportedVersion(std::string_view version) {
  return version.size() >= 3 && version.starts_with("1.") && version[2] >= '0' &&
         version[2] <= '9' && version.size() <= 64;
}

}  // namespace

Status ValidateProcess(const Process& process, const std::string& path) {
  TRY(Absolute(path + ".cwd", process.cwd));
  if (process.args.empty() && process.command_line.empty())
    return Invalid(path + ".args", "must have at least one entry");
  if (!process.args.empty() && process.args[0].empty())
    return Invalid(path + ".args[0]", "is empty");
  TRY(Environment(path + ".env", process.env));
  TRY(ValidateRlimits(path + ".rlimits", process.rlimits));
  if (process.user.umask && *process.user.umask > 0777)
    return Invalid(path + ".user.umask", "{:o} is more than 777", *process.user.umask);
  if (process.user.uid == UINT32_MAX) return Invalid(path + ".user.uid", "is not a user id");
  if (process.user.gid == UINT32_MAX) return Invalid(path + ".user.gid", "is not a group id");
  if (process.oom_score_adj && (*process.oom_score_adj < -1000 || *process.oom_score_adj > 1000))
    return Invalid(path + ".oomScoreAdj", "{} is not within -1000 and 1000",
                   *process.oom_score_adj);
  if (process.console_size &&
      (process.console_size->height > UINT16_MAX || process.console_size->width > UINT16_MAX))
    return Invalid(path + ".consoleSize", "is more than {} a side", UINT16_MAX);
  if (process.scheduler) {
    TRY(Member(path + ".scheduler.policy", process.scheduler->policy, kSchedulers));
    TRY(Members(path + ".scheduler.flags", process.scheduler->flags, kSchedulerFlags));
  }
  if (process.io_priority) {
    TRY(Member(path + ".ioPriority.class", process.io_priority->klass, kIoClasses));
    if (process.io_priority->priority < 0 || process.io_priority->priority > 7)
      return Invalid(path + ".ioPriority.priority", "{} is not within 0 and 7",
                     process.io_priority->priority);
  }
  if (process.exec_cpu_affinity) {
    const CpuAffinity& affinity = *process.exec_cpu_affinity;
    if (!affinity.initial.empty())
      TRY(ParseCpuList(affinity.initial, path + ".execCPUAffinity.initial"));
    if (!affinity.final_set.empty())
      TRY(ParseCpuList(affinity.final_set, path + ".execCPUAffinity.final"));
  }
  return {};
}

Status ValidateResources(const Resources& resources, const std::string& path) {
  constexpr std::string_view kTypes[] = {"a", "c", "b"};
  for (size_t i = 0; i < resources.devices.size(); ++i) {
    const DeviceRule& rule = resources.devices[i];
    std::string item = fmt::format("{}.devices[{}]", path, i);
    if (!rule.type.empty()) TRY(Member(item + ".type", rule.type, kTypes));
    if (rule.access.find_first_not_of("rwm") != std::string::npos)
      return Invalid(item + ".access", "\"{}\" has letters other than r, w, m",
                     Shortened(rule.access));
  }
  if (resources.memory && resources.memory->swappiness.value_or(0) > 100)
    return Invalid(path + ".memory.swappiness", "{} is more than 100",
                   *resources.memory->swappiness);
  if (resources.block_io) {
    const BlockIoResources& io = *resources.block_io;
    auto weight_ok = [](std::optional<uint16_t> w) {
      return !w || *w == 0 || (*w >= 10 && *w <= 1000);
    };
    if (!weight_ok(io.weight))
      return Invalid(path + ".blockIO.weight", "is not within 10 and 1000");
    for (size_t i = 0; i < io.weight_device.size(); ++i)
      if (!weight_ok(io.weight_device[i].weight))
        return Invalid(fmt::format("{}.blockIO.weightDevice[{}].weight", path, i),
                       "is not within 10 and 1000");
  }
  for (size_t i = 0; i < resources.hugepage_limits.size(); ++i) {
    const std::string& size = resources.hugepage_limits[i].page_size;
    size_t digits = size.find_first_not_of("0123456789");
    if (digits == 0 || digits == std::string::npos ||
        (size.substr(digits) != "KB" && size.substr(digits) != "MB" && size.substr(digits) != "GB"))
      return Invalid(fmt::format("{}.hugepageLimits[{}].pageSize", path, i),
                     "\"{}\" is not a number and KB, MB or GB", Shortened(size));
  }
  for (const auto& [key, value] : resources.unified) {
    if (key.empty() || key.find('/') != std::string::npos || key.find('.') == std::string::npos ||
        key.front() == '.')
      return Invalid(fmt::format("{}.unified[\"{}\"]", path, Shortened(key)),
                     "is not the name of a cgroup file");
  }
  return {};
}

Status Validate(const Config& config) {
  if (config.oci_version.empty()) return Invalid("ociVersion", "is required");
  if (!SupportedVersion(config.oci_version))
    return Invalid("ociVersion", "\"{}\" is not a 1.x version", Shortened(config.oci_version));
  if (config.root && config.root->path.empty()) return Invalid("root.path", "is required");
  if (config.process) TRY(ValidateProcess(*config.process));
  TRY(ValidateMounts(config.mounts));
  if (config.hooks) TRY(ValidateHooks(*config.hooks));
  if (config.hostname.size() > 64) return Invalid("hostname", "is longer than 64 bytes");
  if (config.domainname.size() > 64) return Invalid("domainname", "is longer than 64 bytes");
  for (const auto& [key, value] : config.annotations)
    if (key.empty()) return Invalid("annotations", "has an empty name");
  if (config.linux_) TRY(ValidateLinux(config));
  if (!config.linux_ && !config.hostname.empty())
    return Invalid("hostname", "given without a uts namespace");
  if (config.vm) TRY(ValidateVm(*config.vm));
  return {};
}

std::span<const HookKind> HookKinds() { return kHookKinds; }
Names NamespaceTypes() { return kNamespaceTypes; }
Names SeccompActions() { return kSeccompActions; }
Names SeccompOperators() { return kSeccompOperators; }
Names SeccompArchitectures() { return kSeccompArchs; }
Names SeccompFlags() { return kSeccompFlags; }
Names MemoryPolicyModes() { return kMemoryModes; }
Names MemoryPolicyFlags() { return kMemoryFlags; }

}  // namespace holt::oci
