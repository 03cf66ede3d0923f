#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

// Mounts as descriptors (fsopen(2), open_tree(2), move_mount(2)): made detached, changed, and
// attached to a descriptor, so that no path can be swapped for a symlink between a check and its
// use.
namespace holt::guest_agent {

struct FilesystemOptions {
  std::string type;
  std::string source;              // empty: none
  std::vector<std::string> flags;  // "sync"
  std::vector<std::string> data;   // "size=64m" or "noauto"
  uint64_t attributes = 0;         // MOUNT_ATTR_*
};
// A new, detached mount. What the file system says about a bad parameter is in the error.
base::Result<base::UniqueFd> NewFilesystem(const FilesystemOptions& options);

// Changes the file system that the mount `fd` (O_PATH is enough) shows: flags and data as for a new
// one. Source, type and attributes are not looked at.
base::Status Reconfigure(int fd, const FilesystemOptions& options);

// A detached copy of the mount at `fd` (O_PATH is enough), a bind mount to be.
base::Result<base::UniqueFd> CloneTree(int fd, bool recursive);

// Puts a detached mount on what `target` refers to: both directories, or neither.
base::Status Attach(int mount, int target);

// mount_setattr(2) with MOUNT_ATTR_* masks; nothing to do when both are 0.
base::Status SetAttributes(int mount, uint64_t set, uint64_t clear, bool recursive);

// `propagation` is one of MS_SHARED, MS_PRIVATE, MS_SLAVE, MS_UNBINDABLE, with MS_REC if recursive.
base::Status SetPropagation(int mount, unsigned long propagation);

}  // namespace holt::guest_agent
