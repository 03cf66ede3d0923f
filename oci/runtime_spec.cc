#include "oci/runtime_spec.h"

#include "oci/json_binding.h"

namespace holt::oci {

// One description per struct, in the order of the specification.

template <typename A>
void Describe(A& a, IdMapping& x) {
  a("containerID", x.container_id);
  a("hostID", x.host_id);
  a("size", x.size);
}

template <typename A>
void Describe(A& a, ConsoleSize& x) {
  a("height", x.height);
  a("width", x.width);
}

template <typename A>
void Describe(A& a, User& x) {
  a("uid", x.uid);
  a("gid", x.gid);
  a("umask", x.umask);
  a("additionalGids", x.additional_gids);
  a("username", x.username);
}

template <typename A>
void Describe(A& a, Capabilities& x) {
  a("bounding", x.bounding);
  a("effective", x.effective);
  a("inheritable", x.inheritable);
  a("permitted", x.permitted);
  a("ambient", x.ambient);
}

template <typename A>
void Describe(A& a, Rlimit& x) {
  a("type", x.type);
  a("hard", x.hard);
  a("soft", x.soft);
}

template <typename A>
void Describe(A& a, Scheduler& x) {
  a("policy", x.policy);
  a("nice", x.nice);
  a("priority", x.priority);
  a("flags", x.flags);
  a("runtime", x.runtime);
  a("deadline", x.deadline);
  a("period", x.period);
}

template <typename A>
void Describe(A& a, IoPriority& x) {
  a("class", x.klass);
  a("priority", x.priority);
}

template <typename A>
void Describe(A& a, CpuAffinity& x) {
  a("initial", x.initial);
  a("final", x.final_set);
}

template <typename A>
void Describe(A& a, Process& x) {
  a("terminal", x.terminal);
  a("consoleSize", x.console_size);
  a("user", x.user);
  a("args", x.args);
  a("commandLine", x.command_line);
  a("env", x.env);
  a("cwd", x.cwd);
  a("capabilities", x.capabilities);
  a("rlimits", x.rlimits);
  a("noNewPrivileges", x.no_new_privileges);
  a("apparmorProfile", x.apparmor_profile);
  a("oomScoreAdj", x.oom_score_adj);
  a("scheduler", x.scheduler);
  a("selinuxLabel", x.selinux_label);
  a("ioPriority", x.io_priority);
  a("execCPUAffinity", x.exec_cpu_affinity);
}

template <typename A>
void Describe(A& a, Root& x) {
  a("path", x.path);
  a("readonly", x.readonly);
}

template <typename A>
void Describe(A& a, Mount& x) {
  a("destination", x.destination);
  a("type", x.type);
  a("source", x.source);
  a("options", x.options);
  a("uidMappings", x.uid_mappings);
  a("gidMappings", x.gid_mappings);
}

template <typename A>
void Describe(A& a, Hook& x) {
  a("path", x.path);
  a("args", x.args);
  a("env", x.env);
  a("timeout", x.timeout);
}

template <typename A>
void Describe(A& a, Hooks& x) {
  a("prestart", x.prestart);
  a("createRuntime", x.create_runtime);
  a("createContainer", x.create_container);
  a("startContainer", x.start_container);
  a("poststart", x.poststart);
  a("poststop", x.poststop);
}

template <typename A>
void Describe(A& a, Namespace& x) {
  a("type", x.type);
  a("path", x.path);
}

template <typename A>
void Describe(A& a, Device& x) {
  a("path", x.path);
  a("type", x.type);
  a("major", x.major);
  a("minor", x.minor);
  a("fileMode", x.file_mode);
  a("uid", x.uid);
  a("gid", x.gid);
}

template <typename A>
void Describe(A& a, NetDevice& x) {
  a("name", x.name);
}

template <typename A>
void Describe(A& a, DeviceRule& x) {
  a("allow", x.allow);
  a("type", x.type);
  a("major", x.major);
  a("minor", x.minor);
  a("access", x.access);
}

template <typename A>
void Describe(A& a, MemoryResources& x) {
  a("limit", x.limit);
  a("reservation", x.reservation);
  a("swap", x.swap);
  a("kernel", x.kernel);
  a("kernelTCP", x.kernel_tcp);
  a("swappiness", x.swappiness);
  a("disableOOMKiller", x.disable_oom_killer);
  a("useHierarchy", x.use_hierarchy);
  a("checkBeforeUpdate", x.check_before_update);
}

template <typename A>
void Describe(A& a, CpuResources& x) {
  a("shares", x.shares);
  a("quota", x.quota);
  a("burst", x.burst);
  a("period", x.period);
  a("realtimeRuntime", x.realtime_runtime);
  a("realtimePeriod", x.realtime_period);
  a("cpus", x.cpus);
  a("mems", x.mems);
  a("idle", x.idle);
}

template <typename A>
void Describe(A& a, PidsResources& x) {
  a("limit", x.limit);
}

template <typename A>
void Describe(A& a, WeightDevice& x) {
  a("major", x.major);
  a("minor", x.minor);
  a("weight", x.weight);
  a("leafWeight", x.leaf_weight);
}

template <typename A>
void Describe(A& a, ThrottleDevice& x) {
  a("major", x.major);
  a("minor", x.minor);
  a("rate", x.rate);
}

template <typename A>
void Describe(A& a, BlockIoResources& x) {
  a("weight", x.weight);
  a("leafWeight", x.leaf_weight);
  a("weightDevice", x.weight_device);
  a("throttleReadBpsDevice", x.throttle_read_bps);
  a("throttleWriteBpsDevice", x.throttle_write_bps);
  a("throttleReadIOPSDevice", x.throttle_read_iops);
  a("throttleWriteIOPSDevice", x.throttle_write_iops);
}

template <typename A>
void Describe(A& a, HugepageLimit& x) {
  a("pageSize", x.page_size);
  a("limit", x.limit);
}

template <typename A>
void Describe(A& a, InterfacePriority& x) {
  a("name", x.name);
  a("priority", x.priority);
}

template <typename A>
void Describe(A& a, NetworkResources& x) {
  a("classID", x.class_id);
  a("priorities", x.priorities);
}

template <typename A>
void Describe(A& a, RdmaLimit& x) {
  a("hcaHandles", x.hca_handles);
  a("hcaObjects", x.hca_objects);
}

template <typename A>
void Describe(A& a, Resources& x) {
  a("devices", x.devices);
  a("memory", x.memory);
  a("cpu", x.cpu);
  a("pids", x.pids);
  a("blockIO", x.block_io);
  a("hugepageLimits", x.hugepage_limits);
  a("network", x.network);
  a("rdma", x.rdma);
  a("unified", x.unified);
}

template <typename A>
void Describe(A& a, SeccompArg& x) {
  a("index", x.index);
  a("value", x.value);
  a("valueTwo", x.value_two);
  a("op", x.op);
}

template <typename A>
void Describe(A& a, SeccompSyscall& x) {
  a("names", x.names);
  a("action", x.action);
  a("errnoRet", x.errno_ret);
  a("args", x.args);
}

template <typename A>
void Describe(A& a, Seccomp& x) {
  a("defaultAction", x.default_action);
  a("defaultErrnoRet", x.default_errno_ret);
  a("architectures", x.architectures);
  a("flags", x.flags);
  a("listenerPath", x.listener_path);
  a("listenerMetadata", x.listener_metadata);
  a("syscalls", x.syscalls);
}

template <typename A>
void Describe(A& a, IntelRdt& x) {
  a("closID", x.clos_id);
  a("schemata", x.schemata);
  a("l3CacheSchema", x.l3_cache_schema);
  a("memBwSchema", x.mem_bw_schema);
  a("enableMonitoring", x.enable_monitoring);
}

template <typename A>
void Describe(A& a, MemoryPolicy& x) {
  a("mode", x.mode);
  a("nodes", x.nodes);
  a("flags", x.flags);
}

template <typename A>
void Describe(A& a, Personality& x) {
  a("domain", x.domain);
  a("flags", x.flags);
}

template <typename A>
void Describe(A& a, TimeOffset& x) {
  a("secs", x.secs);
  a("nanosecs", x.nanosecs);
}

template <typename A>
void Describe(A& a, Linux& x) {
  a("uidMappings", x.uid_mappings);
  a("gidMappings", x.gid_mappings);
  a("sysctl", x.sysctl);
  a("resources", x.resources);
  a("cgroupsPath", x.cgroups_path);
  a("namespaces", x.namespaces);
  a("devices", x.devices);
  a("netDevices", x.net_devices);
  a("seccomp", x.seccomp);
  a("rootfsPropagation", x.rootfs_propagation);
  a("maskedPaths", x.masked_paths);
  a("readonlyPaths", x.readonly_paths);
  a("mountLabel", x.mount_label);
  a("intelRdt", x.intel_rdt);
  a("memoryPolicy", x.memory_policy);
  a("personality", x.personality);
  a("timeOffsets", x.time_offsets);
}

template <typename A>
void Describe(A& a, VmHypervisor& x) {
  a("path", x.path);
  a("parameters", x.parameters);
}

template <typename A>
void Describe(A& a, VmKernel& x) {
  a("path", x.path);
  a("parameters", x.parameters);
  a("initrd", x.initrd);
}

template <typename A>
void Describe(A& a, VmImage& x) {
  a("path", x.path);
  a("format", x.format);
}

template <typename A>
void Describe(A& a, VmIoMem& x) {
  a("firstGFN", x.first_gfn);
  a("firstMFN", x.first_mfn);
  a("nrMFNs", x.nr_mfns);
}

template <typename A>
void Describe(A& a, VmHwConfig& x) {
  a("deviceTree", x.device_tree);
  a("vcpus", x.vcpus);
  a("memory", x.memory);
  a("dtdevs", x.dtdevs);
  a("iomems", x.iomems);
  a("irqs", x.irqs);
}

template <typename A>
void Describe(A& a, Vm& x) {
  a("hypervisor", x.hypervisor);
  a("kernel", x.kernel);
  a("image", x.image);
  if constexpr (std::is_same_v<A, JsonReader>) a("hwconfig", x.hw_config);
  a("hwConfig", x.hw_config);
}

template <typename A>
void Describe(A& a, Config& x) {
  a("ociVersion", x.oci_version);
  a("process", x.process);
  a("root", x.root);
  a("hostname", x.hostname);
  a("domainname", x.domainname);
  a("mounts", x.mounts);
  a("hooks", x.hooks);
  a("annotations", x.annotations);
  a("linux", x.linux_);
  a("vm", x.vm);
}

namespace {

template <typename T>
base::Result<T> Parse(std::string_view text, std::string_view what, std::string path) {
  TRY_ASSIGN(Json json, ParseJsonText(text, what, kMaxConfigBytes, kMaxConfigDepth));
  T value;
  JsonReader reader(std::move(path));
  reader.ReadRoot(json, value);
  TRY(reader.status());
  return value;
}

}  // namespace

base::Result<Config> ParseConfig(std::string_view json) {
  TRY_ASSIGN(Json parsed, ParseJsonText(json, "config.json", kMaxConfigBytes, kMaxConfigDepth));
  Config config;
  JsonReader reader;
  reader.ReadRoot(parsed, config);
  TRY_CONTEXT(reader.status(), "config.json");
  TRY_CONTEXT(Validate(config), "config.json");
  return config;
}

base::Result<Process> ParseProcess(std::string_view json) {
  TRY_ASSIGN(Process process, Parse<Process>(json, "process", "process"));
  TRY(ValidateProcess(process));
  return process;
}

base::Result<Resources> ParseResources(std::string_view json) {
  TRY_ASSIGN(Resources resources, Parse<Resources>(json, "resources", "linux.resources"));
  TRY(ValidateResources(resources));
  return resources;
}

std::string SerializeConfig(const Config& config, int indent) {
  return DumpJson(JsonWriter::Write(config), indent);
}

std::string SerializeProcess(const Process& process, int indent) {
  return DumpJson(JsonWriter::Write(process), indent);
}

std::string SerializeResources(const Resources& resources, int indent) {
  return DumpJson(JsonWriter::Write(resources), indent);
}

const Namespace* FindNamespace(const Config& config, std::string_view type) {
  if (!config.linux_) return nullptr;
  for (const Namespace& entry : config.linux_->namespaces)
    if (entry.type == type) return &entry;
  return nullptr;
}

}  // namespace holt::oci
