#include "shim/run/bundle_template.h"

#include "oci/known_values.h"
#include "shim/run/capabilities.h"
#include "shim/run/defaults.h"
#include "shim/run/environment.h"

namespace holt::shim {
namespace {

constexpr uint64_t kShmBytes = 64 << 20;

}  // namespace

oci::Config BundleTemplate() {
  oci::Config config;
  config.oci_version = oci::kSpecVersion;
  config.hostname = "holt";
  config.root = oci::Root{.path = "rootfs", .readonly = true};
  oci::Process& process = config.process.emplace();
  process.terminal = true;
  process.args = {"sh"};
  process.env = {std::string("PATH=") + kDefaultPath, "TERM=xterm"};
  process.cwd = "/";
  process.capabilities = CapabilitySets({"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"});
  process.rlimits = {{.type = "RLIMIT_NOFILE", .hard = 1024, .soft = 1024}};
  process.no_new_privileges = true;
  config.mounts = DefaultMounts(kShmBytes);
  oci::Linux& linux_part = config.linux_.emplace();
  linux_part.resources.emplace().devices = {{.allow = false, .access = "rwm"}};
  linux_part.namespaces = DefaultNamespaces();
  linux_part.masked_paths = DefaultMaskedPaths();
  linux_part.readonly_paths = DefaultReadonlyPaths();
  return config;
}

}  // namespace holt::shim
