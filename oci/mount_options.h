#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "oci/runtime_spec.h"

namespace holt::oci {

// A mount's `options` sorted by what applies them. Attribute masks are MOUNT_ATTR_* of
// linux/mount.h, as mount_setattr(2) takes them; later options win over earlier ones.
struct MountOptions {
  bool bind = false;
  bool recursive_bind = false;
  bool remount = false;
  bool tmpcopyup = false;
  bool idmap = false;            // idmap or ridmap
  bool recursive_idmap = false;  // ridmap
  uint64_t attr_set = 0;
  uint64_t attr_clear = 0;
  uint64_t recursive_attr_set = 0;
  uint64_t recursive_attr_clear = 0;
  // One MS_SHARED, MS_PRIVATE, MS_SLAVE or MS_UNBINDABLE each, in order, with MS_REC if recursive.
  std::vector<unsigned long> propagation;
  // Flags of the file system itself ("sync", "dirsync", "lazytime"), for
  // fsconfig(FSCONFIG_SET_FLAG).
  std::vector<std::string> superblock_flags;
  // Everything else, "key" or "key=value", in order: the file system's own parameters.
  std::vector<std::string> data;
};

// Sorts the options of `mount`; `path` ("mounts[2]") begins an error. A bind mount (by type or by
// option) has no file system parameters: an unknown option on it is an error.
base::Result<MountOptions> ParseMountOptions(const Mount& mount, const std::string& path);

// Every option with a meaning of its own, sorted: what `features` prints.
std::vector<std::string> KnownMountOptions();

}  // namespace holt::oci
