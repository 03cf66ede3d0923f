#include "shim/run/features.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "oci/known_values.h"
#include "oci/mount_options.h"
#include "oci/unsupported.h"
#include "shim/run/capabilities.h"

namespace holt::shim {
namespace {

using Json = nlohmann::ordered_json;
using Change = std::function<void(oci::Config&)>;

// The oldest specification whose configurations are taken: Validate() asks for 1.x.
constexpr char kOldestVersion[] = "1.0.0";

// Would `create` take a config.json with this?
bool Accepts(const Change& change) {
  oci::Config config;
  config.oci_version = oci::kSpecVersion;
  config.root = oci::Root{.path = "rootfs"};
  config.process.emplace();
  config.process->args = {"true"};
  config.process->cwd = "/";
  config.linux_.emplace();
  config.linux_->namespaces = {{"network", ""}};
  change(config);
  return oci::Validate(config).ok() && oci::CheckSupported(config).ok();
}

// Those of `values` that pass when `put` sets them, sorted.
template <typename Values>
Json Accepted(const Values& values, const std::function<void(oci::Config&, std::string)>& put) {
  std::vector<std::string> names;
  for (const auto& value : values) {
    std::string name(value);
    if (Accepts([&](oci::Config& config) { put(config, name); })) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Json Hooks() {
  std::vector<std::string> names;
  for (const oci::HookKind& kind : oci::HookKinds())
    if (Accepts([&](oci::Config& config) {
          config.hooks.emplace().*kind.list = {{.path = "/bin/true"}};
        }))
      names.emplace_back(kind.name);
  return names;
}

void AddIdmap(oci::Mount& mount) {
  mount.type = "bind";
  mount.source = "/";
  mount.uid_mappings = mount.gid_mappings = {{.container_id = 0, .host_id = 1000, .size = 1}};
}

Json MountOptions() {
  return Accepted(oci::KnownMountOptions(), [](oci::Config& config, const std::string& option) {
    oci::Mount mount{.destination = "/mnt", .type = "tmpfs", .source = "tmpfs"};
    if (option.ends_with("idmap")) AddIdmap(mount);
    mount.options = {option};
    config.mounts = {mount};
  });
}

oci::Seccomp& Seccomp(oci::Config& config) {
  oci::Seccomp& seccomp = config.linux_->seccomp.emplace();
  seccomp.default_action = "SCMP_ACT_ALLOW";
  return seccomp;
}

Json DescribeSeccomp() {
  Json out;
  out["enabled"] = Accepts([](oci::Config& config) { Seccomp(config); });
  out["actions"] =
      Accepted(oci::SeccompActions(), [](oci::Config& config, const std::string& action) {
        Seccomp(config).syscalls = {{.names = {"getpid"}, .action = action}};
      });
  out["operators"] =
      Accepted(oci::SeccompOperators(), [](oci::Config& config, const std::string& op) {
        Seccomp(config).syscalls = {
            {.names = {"getpid"}, .action = "SCMP_ACT_ERRNO", .args = {{.op = op}}}};
      });
  out["archs"] = Accepted(oci::SeccompArchitectures(),
                          [](oci::Config& config, const std::string& architecture) {
                            Seccomp(config).architectures = {architecture};
                          });
  auto flags = oci::SeccompFlags();
  out["knownFlags"] = std::vector<std::string>(flags.begin(), flags.end());
  out["supportedFlags"] = Accepted(
      oci::SeccompFlags(),
      [](oci::Config& config, const std::string& flag) { Seccomp(config).flags = {flag}; });
  return out;
}

Json Enabled(const Change& change) { return {{"enabled", Accepts(change)}}; }

Json MemoryPolicy() {
  auto modes = Accepted(oci::MemoryPolicyModes(), [](oci::Config& config, const std::string& mode) {
    config.linux_->memory_policy = oci::MemoryPolicy{.mode = mode, .nodes = "0"};
  });
  auto flags = Accepted(oci::MemoryPolicyFlags(), [](oci::Config& config, const std::string& flag) {
    config.linux_->memory_policy =
        oci::MemoryPolicy{.mode = "MPOL_BIND", .nodes = "0", .flags = {flag}};
  });
  return {{"modes", modes}, {"flags", flags}};
}

Json DescribeLinux() {
  Json out;
  out["namespaces"] =
      Accepted(oci::NamespaceTypes(), [](oci::Config& config, const std::string& type) {
        if (type != "network") config.linux_->namespaces.push_back({type, ""});
      });
  auto capabilities = ResolveCapabilities({"ALL"}, {});
  out["capabilities"] = capabilities ? *capabilities : std::vector<std::string>();
  // Containers' limits are those of the guest's kernel, which has cgroup v2.
  out["cgroup"] = {{"v1", false},
                   {"v2", true},
                   {"systemd", true},
                   {"systemdUser", false},
                   {"rdma", Accepts([](oci::Config& config) {
                      config.linux_->resources.emplace().rdma["mlx5_0"].hca_handles = 1;
                    })}};
  out["seccomp"] = DescribeSeccomp();
  out["apparmor"] =
      Enabled([](oci::Config& config) { config.process->apparmor_profile = "docker-default"; });
  out["selinux"] = Enabled([](oci::Config& config) { config.process->selinux_label = "x"; });
  out["intelRdt"] = Enabled([](oci::Config& config) { config.linux_->intel_rdt.emplace(); });
  out["memoryPolicy"] = MemoryPolicy();
  out["mountExtensions"]["idmap"] = Enabled([](oci::Config& config) {
    AddIdmap(config.mounts.emplace_back(oci::Mount{.destination = "/mnt"}));
  });
  out["netDevices"] = Enabled([](oci::Config& config) { config.linux_->net_devices["eth1"] = {}; });
  return out;
}

}  // namespace

std::string DescribeFeatures() {
  Json out;
  out["ociVersionMin"] = kOldestVersion;
  out["ociVersionMax"] = oci::kSpecVersion;
  out["hooks"] = Hooks();
  out["mountOptions"] = MountOptions();
  out["linux"] = DescribeLinux();
  out["annotations"] = {{"holt.version", HOLT_VERSION}};
  // No annotation of a bundle changes how its container is made.
  out["potentiallyUnsafeConfigAnnotations"] = Json::array();
  return out.dump(2) + "\n";
}

}  // namespace holt::shim
