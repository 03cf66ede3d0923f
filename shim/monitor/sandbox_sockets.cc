#include "shim/monitor/sandbox.h"

// Sockets of the host's that the container may connect to.
namespace holt::shim {

base::Status Sandbox::AddSockets(Container::Options& options) {
  std::vector<Share::Socket> sockets = share_.TakeSockets();
  if (sockets.empty()) return {};
  sockets_ = std::make_unique<SocketVolumes>(loop_);
  uint32_t port = SocketVolumes::kFirstPort;
  for (Share::Socket& socket : sockets) {
    TRY_ASSIGN_CONTEXT(base::UniqueFd guest, link_->ListenForGuest(port), "socket volume");
    TRY_CONTEXT(sockets_->Add(std::move(socket.node), std::move(guest)), "socket volume");
    agent::v1::SocketVolume& volume = options.sockets.emplace_back();
    volume.set_source(socket.source);
    volume.set_port(port++);
    volume.set_mode(socket.mode);
    volume.set_uid(socket.uid);
    volume.set_gid(socket.gid);
  }
  return {};
}

}  // namespace holt::shim
