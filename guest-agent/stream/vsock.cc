#include "guest-agent/stream/vsock.h"

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::UniqueFd;

constexpr int kBacklog = 128;

sockaddr_vm Address(uint32_t cid, uint32_t port) {
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = port;
  return address;
}

}  // namespace

bool IsHost(const sockaddr_vm& peer) {
  return peer.svm_family == AF_VSOCK && peer.svm_cid == VMADDR_CID_HOST;
}

Result<UniqueFd> ListenVsock(uint32_t port) {
  UniqueFd socket(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return HOLT_ERRNO("vsock");
  sockaddr_vm address = Address(VMADDR_CID_ANY, port);
  // SAFETY: sockets take every kind of address as a sockaddr.
  if (bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return HOLT_ERRNO("vsock port {}: bind", port);
  if (listen(socket.get(), kBacklog) != 0) return HOLT_ERRNO("vsock port {}: listen", port);
  return socket;
}

Result<UniqueFd> DialHost(uint32_t port) {
  UniqueFd socket(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return HOLT_ERRNO("vsock");
  sockaddr_vm address = Address(VMADDR_CID_HOST, port);
  if (connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return HOLT_ERRNO("vsock port {} of the host: connect", port);
  return socket;
}

Result<UniqueFd> DialHostLater(uint32_t port) {
  UniqueFd socket(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return HOLT_ERRNO("vsock");
  sockaddr_vm address = Address(VMADDR_CID_HOST, port);
  if (connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 &&
      errno != EINPROGRESS)
    return HOLT_ERRNO("vsock port {} of the host: connect", port);
  return socket;
}

Result<UniqueFd> AcceptFromHost(int listener) {
  sockaddr_vm peer{};
  socklen_t length = sizeof peer;
  UniqueFd socket(
      accept4(listener, reinterpret_cast<sockaddr*>(&peer), &length, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) {
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
      return MakeError(Code::kUnavailable, "no connection now");
    return HOLT_ERRNO("vsock: accept");
  }
  if (!IsHost(peer))
    return MakeError(Code::kPermissionDenied, "vsock: CID {} is not the host", peer.svm_cid);
  return socket;
}

}  // namespace holt::guest_agent
