#pragma once

#include <linux/vm_sockets.h>
#include <sys/socket.h>

#include <cstdint>

#include "base/result.h"
#include "base/unique_fd.h"

// The agent's ways to the host (docs/adr/0003): RPC and raw streams come in, the ready connection
// goes out. Programs in the guest can reach the same ports through the loopback transport, so every
// accepted connection is asked where it comes from.
namespace holt::guest_agent {

inline constexpr uint32_t kRpcPort = 1024;
inline constexpr uint32_t kStreamPort = 1025;
inline constexpr uint32_t kReadyPort = 1024;  // the host's

// Listens on `port`, nonblocking.
base::Result<base::UniqueFd> ListenVsock(uint32_t port);
// Connects to the host; blocks for at most the kernel's two seconds.
base::Result<base::UniqueFd> DialHost(uint32_t port);
// The same without waiting: nonblocking; it can be written to when it is connected.
base::Result<base::UniqueFd> DialHostLater(uint32_t port);
// Accepts one connection, nonblocking. kUnavailable: none now; kPermissionDenied: not from the host
// (it is closed).
base::Result<base::UniqueFd> AcceptFromHost(int listener);

// True for a peer that is the host itself, not a program of the guest's.
bool IsHost(const sockaddr_vm& peer);

}  // namespace holt::guest_agent
