#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "oci/runtime_spec.h"

// NOTIFY_SOCKET: where somebody on the host waits for what a container says of itself
// (sd_notify(3), docs/adr/0140-what-a-container-says-of-itself.md).
namespace holt::shim {

inline constexpr char kNotifyVariable[] = "NOTIFY_SOCKET";
// Where a container finds the socket of the runtime's own environment, as with runc.
inline constexpr char kNotifyPath[] = "/run/notify/notify.sock";

// A datagram socket of the host's that somebody listens to.
struct NotifySocket {
  base::UniqueFd node;        // O_PATH: that very one, whatever is at its path later; or
  std::string abstract_name;  // one without a node
  mode_t mode = 0777;
  uid_t uid = 0;
  gid_t gid = 0;
};

// `address` is an absolute path, or @ and an abstract name.
base::Result<NotifySocket> OpenNotifySocket(const std::string& address);
// The same of a path below the directory `root`, none of which may be a link.
base::Result<NotifySocket> OpenNotifySocketBelow(int root, const std::string& path);

// Sends `text` to it without waiting, in the name of process `sender` (0: this one) and, if it is
// not negative, with `fd`. 0, or the errno: EAGAIN when its queue is full.
int SendNotification(int socket, const NotifySocket& to, std::string_view text, pid_t sender,
                     int fd);

// What process.env says of NOTIFY_SOCKET, and which bind mount that path is in.
struct NotifyVariable {
  std::string path;
  std::string source;  // of the mount
  std::string below;   // the path below that; empty: the source itself
};
// Nothing when the variable is not there, no path, or the path is in no bind mount.
std::optional<NotifyVariable> FindNotifyVariable(const oci::Config& config);

}  // namespace holt::shim
