#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "oci/runtime_spec.h"

// Builds a container's file system view in the mount namespace of the calling process, which is the
// container's first process before it runs anything of the container's.
namespace holt::guest_agent {

struct RootfsInputs {
  const oci::Config* config = nullptr;
  // root.path and the sources of bind mounts are looked up below this directory, never above it.
  int share = -1;
  // The agent's own /dev and a directory of its own to put the root on before pivot_root(2).
  int dev = -1;
  std::string mount_point;
  // The container's directory in the agent's cgroup hierarchy: what a `cgroup` mount shows when
  // there is no cgroup namespace. Negative: none.
  int cgroup = -1;
  bool cgroup_namespace = false;
  // Bind mounts, by their sources, that are not of the share: paths of the agent's own.
  std::map<std::string, std::string> sockets;
};

// Cuts the namespace off from the agent's, mounts the root and everything of `mounts`, makes
// devices, masks paths. root.readonly is the caller's last step before the pivot. The result is the
// root, mounted but not yet "/".
base::Result<base::UniqueFd> SetUpRootfs(const RootfsInputs& inputs);

// Binds the pty's slave to /dev/console.
base::Status BindConsole(int root, int slave);

// Makes `root` the root and current directory of this process, detaches everything else, and
// applies linux.rootfsPropagation.
base::Status PivotInto(int root, const std::string& rootfs_propagation);

// Whether a mount may be put on a path of a procfs: only files that hold figures about the machine.
bool MayCoverProc(const std::string& destination);

}  // namespace holt::guest_agent
