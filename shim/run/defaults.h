#pragma once

#include <string>
#include <vector>

#include "oci/runtime_spec.h"

// What every container gets that `holt run` makes, unless a flag says otherwise: Docker's defaults.
namespace holt::shim {

inline constexpr uint64_t kDefaultShmBytes = 64 << 20;
inline constexpr char kDefaultPath[] =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// proc, /dev and below, sysfs and cgroup read-only.
std::vector<oci::Mount> DefaultMounts(uint64_t shm_bytes = kDefaultShmBytes);
// Paths of proc and sysfs that say or change something about the whole machine.
std::vector<std::string> DefaultMaskedPaths();
std::vector<std::string> DefaultReadonlyPaths();
// Nothing, then the harmless devices; any node may be made (mknod), none of those opened.
std::vector<oci::DeviceRule> DefaultDeviceRules();
// pid, network, mount, ipc, uts, cgroup: new ones.
std::vector<oci::Namespace> DefaultNamespaces();

}  // namespace holt::shim
