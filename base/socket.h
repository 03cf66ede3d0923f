#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

// Unix sockets. All are CLOEXEC; nonblocking where it is said.
namespace holt::base {

// A connected pair of stream sockets.
Result<std::pair<UniqueFd, UniqueFd>> SocketPair();

// Listens at `path` (removing a stale socket there first), nonblocking, mode 0600 from the first
// moment. Paths longer than sockaddr_un takes are bound through a directory fd.
Result<UniqueFd> ListenUnix(const std::string& path, int backlog = 64);
// The same for datagrams: a bound socket, nonblocking.
Result<UniqueFd> BindDatagramUnix(const std::string& path);
// Waits when the listener's backlog is full; `flags` may be SOCK_NONBLOCK: then that is an error
// (EAGAIN), and the socket is nonblocking.
Result<UniqueFd> ConnectUnix(const std::string& path, int flags = 0);
// Accepts one connection; CLOEXEC and nonblocking. kUnavailable when there is none now.
Result<UniqueFd> AcceptUnix(int listener);

// Sends `data` (at least one byte) with `fds` attached as SCM_RIGHTS, in one sendmsg.
Status SendWithFds(int socket, std::string_view data, std::span<const int> fds);
struct MessageWithFds {
  std::string data;  // empty: the peer closed
  std::vector<UniqueFd> fds;
};
// Receives at most `max_bytes` and `max_fds`; more fds than that is an error (and they are closed).
Result<MessageWithFds> ReceiveWithFds(int socket, size_t max_bytes, size_t max_fds);

// The peer's pid, uid and gid (SO_PEERCRED).
struct PeerCredentials {
  int pid;
  unsigned uid;
  unsigned gid;
};
Result<PeerCredentials> GetPeerCredentials(int socket);

}  // namespace holt::base
