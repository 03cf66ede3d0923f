#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

// config.json of the OCI runtime specification, version 1.3, as structs. Names are those of the
// specification in snake_case. An absent object is an empty optional; an absent string, list or map
// is empty. Properties the specification does not know are ignored, as it demands; a known property
// of the wrong type, out of range or outside its set of values is an error that names its path.
namespace holt::oci {

// A config.json larger than this, or nested deeper, is refused before anything is built from it.
inline constexpr size_t kMaxConfigBytes = 3 << 20;
inline constexpr int kMaxConfigDepth = 32;

using Strings = std::vector<std::string>;
using StringMap = std::map<std::string, std::string>;

struct IdMapping {
  uint32_t container_id = 0;
  uint32_t host_id = 0;
  uint32_t size = 0;
};

struct ConsoleSize {
  uint32_t height = 0;
  uint32_t width = 0;
};

struct User {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::optional<uint32_t> umask;
  std::vector<uint32_t> additional_gids;
  std::string username;  // of the specification's Windows part; kept, not acted on
};

struct Capabilities {
  Strings bounding;
  Strings effective;
  Strings inheritable;
  Strings permitted;
  Strings ambient;
};

struct Rlimit {
  std::string type;  // "RLIMIT_NOFILE"
  uint64_t hard = 0;
  uint64_t soft = 0;
};

struct Scheduler {
  std::string policy;  // "SCHED_OTHER"
  std::optional<int32_t> nice;
  std::optional<int32_t> priority;
  Strings flags;
  std::optional<uint64_t> runtime;
  std::optional<uint64_t> deadline;
  std::optional<uint64_t> period;
};

struct IoPriority {
  std::string klass;  // "class" in JSON
  int32_t priority = 0;
};

struct CpuAffinity {
  std::string initial;
  std::string final_set;  // "final" in JSON
};

struct Process {
  bool terminal = false;
  std::optional<ConsoleSize> console_size;
  User user;
  Strings args;
  std::string command_line;
  Strings env;
  std::string cwd;
  std::optional<Capabilities> capabilities;
  std::vector<Rlimit> rlimits;
  bool no_new_privileges = false;
  std::string apparmor_profile;
  std::optional<int32_t> oom_score_adj;
  std::optional<Scheduler> scheduler;
  std::string selinux_label;
  std::optional<IoPriority> io_priority;
  std::optional<CpuAffinity> exec_cpu_affinity;
};

struct Root {
  std::string path;
  bool readonly = false;
};

struct Mount {
  std::string destination;
  std::string type;
  std::string source;
  Strings options;
  std::vector<IdMapping> uid_mappings;
  std::vector<IdMapping> gid_mappings;
};

struct Hook {
  std::string path;
  Strings args;
  Strings env;
  std::optional<int32_t> timeout;  // seconds
};

struct Hooks {
  std::vector<Hook> prestart;
  std::vector<Hook> create_runtime;
  std::vector<Hook> create_container;
  std::vector<Hook> start_container;
  std::vector<Hook> poststart;
  std::vector<Hook> poststop;
};

struct Namespace {
  std::string type;  // pid, network, mount, ipc, uts, user, cgroup, time
  std::string path;
};

struct Device {
  std::string path;
  std::string type;  // c, u, b, p
  int64_t major = 0;
  int64_t minor = 0;
  std::optional<uint32_t> file_mode;
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
};

struct NetDevice {
  std::string name;
};

struct DeviceRule {
  bool allow = false;
  std::string type;              // a, c, b; empty is a
  std::optional<int64_t> major;  // absent is any
  std::optional<int64_t> minor;
  std::string access;  // of r, w, m; empty is all
};

struct MemoryResources {
  std::optional<int64_t> limit;
  std::optional<int64_t> reservation;
  std::optional<int64_t> swap;  // memory and swap together
  std::optional<int64_t> kernel;
  std::optional<int64_t> kernel_tcp;
  std::optional<uint64_t> swappiness;
  std::optional<bool> disable_oom_killer;
  std::optional<bool> use_hierarchy;
  std::optional<bool> check_before_update;
};

struct CpuResources {
  std::optional<uint64_t> shares;
  std::optional<int64_t> quota;   // microseconds
  std::optional<uint64_t> burst;  // microseconds
  std::optional<uint64_t> period;
  std::optional<int64_t> realtime_runtime;
  std::optional<uint64_t> realtime_period;
  std::string cpus;
  std::string mems;
  std::optional<int64_t> idle;
};

struct PidsResources {
  std::optional<int64_t> limit;
};

struct WeightDevice {
  int64_t major = 0;
  int64_t minor = 0;
  std::optional<uint16_t> weight;
  std::optional<uint16_t> leaf_weight;
};

struct ThrottleDevice {
  int64_t major = 0;
  int64_t minor = 0;
  uint64_t rate = 0;
};

struct BlockIoResources {
  std::optional<uint16_t> weight;
  std::optional<uint16_t> leaf_weight;
  std::vector<WeightDevice> weight_device;
  std::vector<ThrottleDevice> throttle_read_bps;
  std::vector<ThrottleDevice> throttle_write_bps;
  std::vector<ThrottleDevice> throttle_read_iops;
  std::vector<ThrottleDevice> throttle_write_iops;
};

struct HugepageLimit {
  std::string page_size;  // "2MB"
  uint64_t limit = 0;
};

struct InterfacePriority {
  std::string name;
  uint32_t priority = 0;
};

struct NetworkResources {
  std::optional<uint32_t> class_id;
  std::vector<InterfacePriority> priorities;
};

struct RdmaLimit {
  std::optional<uint32_t> hca_handles;
  std::optional<uint32_t> hca_objects;
};

struct Resources {
  std::vector<DeviceRule> devices;
  std::optional<MemoryResources> memory;
  std::optional<CpuResources> cpu;
  std::optional<PidsResources> pids;
  std::optional<BlockIoResources> block_io;
  std::vector<HugepageLimit> hugepage_limits;
  std::optional<NetworkResources> network;
  std::map<std::string, RdmaLimit> rdma;
  StringMap unified;
};

struct SeccompArg {
  uint32_t index = 0;
  uint64_t value = 0;
  uint64_t value_two = 0;
  std::string op;  // "SCMP_CMP_EQ"
};

struct SeccompSyscall {
  Strings names;
  std::string action;  // "SCMP_ACT_ALLOW"
  std::optional<uint32_t> errno_ret;
  std::vector<SeccompArg> args;
};

struct Seccomp {
  std::string default_action;
  std::optional<uint32_t> default_errno_ret;
  Strings architectures;
  Strings flags;
  std::string listener_path;
  std::string listener_metadata;
  std::vector<SeccompSyscall> syscalls;
};

struct IntelRdt {
  std::string clos_id;
  Strings schemata;
  std::string l3_cache_schema;
  std::string mem_bw_schema;
  bool enable_monitoring = false;
};

struct MemoryPolicy {
  std::string mode;  // "MPOL_BIND"
  std::string nodes;
  Strings flags;
};

struct Personality {
  std::string domain;  // LINUX, LINUX32
  Strings flags;
};

struct TimeOffset {
  int64_t secs = 0;
  uint32_t nanosecs = 0;
};

struct Linux {
  std::vector<IdMapping> uid_mappings;
  std::vector<IdMapping> gid_mappings;
  StringMap sysctl;
  std::optional<Resources> resources;
  std::string cgroups_path;
  std::vector<Namespace> namespaces;
  std::vector<Device> devices;
  std::map<std::string, NetDevice> net_devices;
  std::optional<Seccomp> seccomp;
  std::string rootfs_propagation;
  Strings masked_paths;
  Strings readonly_paths;
  std::string mount_label;
  std::optional<IntelRdt> intel_rdt;
  std::optional<MemoryPolicy> memory_policy;
  std::optional<Personality> personality;
  std::map<std::string, TimeOffset> time_offsets;
};

struct VmHypervisor {
  std::string path;
  Strings parameters;
};

struct VmKernel {
  std::string path;
  Strings parameters;
  std::string initrd;
};

struct VmImage {
  std::string path;
  std::string format;
};

struct VmIoMem {
  uint64_t first_gfn = 0;
  uint64_t first_mfn = 0;
  uint64_t nr_mfns = 0;
};

struct VmHwConfig {
  std::string device_tree;
  std::optional<uint32_t> vcpus;
  std::optional<uint64_t> memory;  // bytes
  Strings dtdevs;
  std::vector<VmIoMem> iomems;
  std::vector<uint32_t> irqs;
};

struct Vm {
  std::optional<VmHypervisor> hypervisor;
  std::optional<VmKernel> kernel;
  std::optional<VmImage> image;
  std::optional<VmHwConfig> hw_config;  // "hwConfig"; the Go binding's "hwconfig" is read too
};

struct Config {
  std::string oci_version;
  std::optional<Process> process;
  std::optional<Root> root;
  std::string hostname;
  std::string domainname;
  std::vector<Mount> mounts;
  std::optional<Hooks> hooks;
  StringMap annotations;
  std::optional<Linux> linux_;
  std::optional<Vm> vm;
};

// Each parses and validates; errors are kInvalidArgument and begin with the property's path.
base::Result<Config> ParseConfig(std::string_view json);
// A process object alone, as `exec --process` gives it.
base::Result<Process> ParseProcess(std::string_view json);
// A linux.resources object alone, as `update` gives it.
base::Result<Resources> ParseResources(std::string_view json);

// JSON without the properties that are absent or empty; `indent` < 0 gives one line.
std::string SerializeConfig(const Config& config, int indent = -1);
std::string SerializeProcess(const Process& process, int indent = -1);
std::string SerializeResources(const Resources& resources, int indent = -1);

// What the types alone do not say: required properties, sets of values, uniqueness, absolute paths.
// The parsers call these; callers that build or change a spec may too.
base::Status Validate(const Config& config);
base::Status ValidateProcess(const Process& process, const std::string& path = "process");
base::Status ValidateResources(const Resources& resources,
                               const std::string& path = "linux.resources");

// The entry of `linux.namespaces` of this type, or null.
const Namespace* FindNamespace(const Config& config, std::string_view type);

}  // namespace holt::oci
