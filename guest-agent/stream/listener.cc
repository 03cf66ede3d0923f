#include "guest-agent/stream/listener.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "base/file.h"
#include "base/socket.h"
#include "guest-agent/stream/place.h"

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

constexpr int kBacklog = 128;

socklen_t Loopback(int family, uint16_t port, sockaddr_storage& out) {
  // SAFETY: storage is made for every kind of address.
  if (family == AF_INET) {
    auto* address = reinterpret_cast<sockaddr_in*>(&out);
    *address = {};
    address->sin_family = AF_INET;
    address->sin_port = htons(port);
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return sizeof *address;
  }
  auto* address = reinterpret_cast<sockaddr_in6*>(&out);
  *address = {};
  address->sin6_family = AF_INET6;
  address->sin6_port = htons(port);
  address->sin6_addr = in6addr_loopback;
  return sizeof *address;
}

Status BindLoopback(int socket, int family, uint16_t port) {
  sockaddr_storage address{};
  const socklen_t size = Loopback(family, port, address);
  if (bind(socket, reinterpret_cast<sockaddr*>(&address), size) == 0) return {};
  if (errno == EADDRINUSE && port != 0) return BindLoopback(socket, family, 0);
  return HOLT_ERRNO("bind on loopback");
}

}  // namespace

Result<Listener::Made> Listener::Make(int family, uint16_t port) {
  Made made;
  made.listener.reset(new Listener());
  Listener& listener = *made.listener;
  if (family == AF_UNIX) {
    TRY_ASSIGN(listener.path_, PlaceForSocket());
    TRY_ASSIGN(made.socket, base::ListenUnix(listener.path_, kBacklog));
  } else if (family == AF_INET || family == AF_INET6) {
    made.socket.Reset(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!made.socket) return HOLT_ERRNO("socket");
    const int on = 1;
    (void)setsockopt(made.socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    TRY(BindLoopback(made.socket.get(), family, port));
    if (listen(made.socket.get(), kBacklog) != 0) return HOLT_ERRNO("listen");
  } else {
    return MakeError(Code::kUnsupported, "a listening socket of family {}", family);
  }
  // As systemd's are unless it is told otherwise.
  TRY(base::SetNonblocking(made.socket.get(), false));
  listener.size_ = sizeof listener.address_;
  if (getsockname(made.socket.get(), reinterpret_cast<sockaddr*>(&listener.address_),
                  &listener.size_) != 0)
    return HOLT_ERRNO("getsockname");
  return made;
}

Listener::~Listener() {
  if (!path_.empty()) unlink(path_.c_str());
}

Result<UniqueFd> Listener::Connect() const {
  UniqueFd socket(::socket(address_.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return HOLT_ERRNO("socket");
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address_), size_) != 0 &&
      errno != EINPROGRESS)
    return HOLT_ERRNO("connect to the process's socket");
  return socket;
}

}  // namespace holt::guest_agent
