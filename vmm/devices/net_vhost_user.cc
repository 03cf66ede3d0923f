#include "vmm/devices/net_vhost_user.h"

#include <sys/epoll.h>

#include "base/log.h"
#include "base/socket.h"

namespace holt::vmm {

void NetVhostUser::FeaturesNegotiated(uint64_t features) {
  // What the tap keeps to itself then is dropped frame by frame, as it comes.
  for (auto& pair : pairs_)
    if (auto status = pair->SetFeatures(features); !status)
      base::log::Warning("net: {}", status.error().message());
}

void NetVhostUser::StartQueue(vhost_user::BackendQueue& queue) {
  ports_[queue.index()].emplace(queue);
  PairOf(queue).SetQueue(queue.index() % 2, &*ports_[queue.index()]);
}

void NetVhostUser::StopQueue(vhost_user::BackendQueue& queue) {
  PairOf(queue).SetQueue(queue.index() % 2, nullptr);
  ports_[queue.index()].reset();
}

base::Result<std::unique_ptr<NetVhostUserServer>> NetVhostUserServer::Create(
    base::EventLoop& loop, base::UniqueFd listener, NetPairs pairs) {
  std::unique_ptr<NetVhostUserServer> server(
      new NetVhostUserServer(loop, std::move(listener), std::move(pairs)));
  TRY(loop.AddFd(server->listener_.get(), EPOLLIN,
                 [raw = server.get()](uint32_t) { raw->OnListener(); }));
  return server;
}

NetVhostUserServer::~NetVhostUserServer() {
  if (listener_) loop_.RemoveFd(listener_.get());
}

void NetVhostUserServer::OnListener() {
  auto socket = base::AcceptUnix(listener_.get());
  if (!socket) return;
  loop_.RemoveFd(listener_.get());
  listener_.Reset();
  // A front end that is not served says so itself, and ends the machine.
  if (auto status = Serve(std::move(*socket)); !status)
    base::log::Error("net: {}", status.error().message());
}

base::Status NetVhostUserServer::Serve(base::UniqueFd socket) {
  vhost_user::Backend::Options options;
  options.loop = &loop_;
  options.socket = std::move(socket);
  options.device = &device_;
  // The end of QEMU is told by QMP, which knows the reason.
  options.on_closed = [](const base::Error& why) { base::log::Debug("net: {}", why.message()); };
  TRY_ASSIGN(backend_, vhost_user::Backend::Create(std::move(options)));
  return {};
}

}  // namespace holt::vmm
