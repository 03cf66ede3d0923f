#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "oci/runtime_spec.h"
#include "shim/state/layout.h"
#include "shim/state/record.h"

// What holt-fsd serves: `<id>/share`, a small file system of the monitor's own mount namespace with
// `<container>/rootfs` and `<container>/mounts/<n>` on it. The guest cannot write the scaffold, and
// what is read-only is read-only here, on the host.
namespace holt::shim {

// Gives the calling process a mount namespace of its own: mounts of the host still arrive, ours
// stay here and vanish with the last process in it.
base::Status EnterMountNamespace();

class Share {
 public:
  explicit Share(SandboxPaths paths) : paths_(std::move(paths)) {}

  // Mounts the scaffold.
  base::Status Mount();
  // Puts the container's root and volumes into the share and rewrites `config` for the agent:
  // root.path and the sources of bind mounts become paths in the share. `resolv_conf`: its
  // /etc/resolv.conf; empty: as it is in the image.
  base::Status AddContainer(const Request& request, oci::Config& config,
                            const std::string& resolv_conf = "");
  // Unmounts all of it; what is busy is detached.
  void Unmount();
  // A socket of the host's that the container may connect to.
  struct Socket {
    std::string source;   // of its mount, as the agent gets it
    base::UniqueFd node;  // O_PATH: that very one, whatever is at its path later
    mode_t mode = 0;
    uid_t uid = 0;
    gid_t gid = 0;
  };
  std::vector<Socket> TakeSockets() { return std::move(sockets_); }
  // Paths in the share whose changes the guest is told of.
  const std::vector<std::string>& watched() const { return watched_; }
  const std::string directory() const { return paths_.Share(); }

 private:
  base::Status MountRoot(const Request& request, const oci::Config& config,
                         const std::string& target);
  base::Status AddVolume(const std::string& container, const oci::Config& config,
                         oci::Mount& mount);
  base::Status AddHostsFiles(const Request& request, oci::Config& config,
                             const std::string& resolv_conf);
  SandboxPaths paths_;
  size_t next_volume_ = 0;
  std::vector<std::string> watched_;
  std::set<std::string> wanted_sockets_;  // destinations, as long as none was mounted there
  std::vector<Socket> sockets_;
};

// "off": what the host changes in volumes is not told to inotify watchers in the guest. Otherwise,
// and with "on", it is.
inline constexpr char kInotifyAnnotation[] = "holt.inotify";

// Whether the container has bind mounts, whose files others may change too.
bool HasVolumes(const oci::Config& config);

// Makes `path` (a directory, or an empty file) below `root`, whose symlinks cannot lead out of it.
base::Status MakeInRoot(int root, const std::string& path, bool file);

}  // namespace holt::shim
