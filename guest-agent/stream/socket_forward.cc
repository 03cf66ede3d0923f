#include "guest-agent/stream/socket_forward.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/socket.h"
#include "guest-agent/stream/vsock.h"

namespace holt::guest_agent {

using base::Result;
using base::UniqueFd;

Result<std::unique_ptr<SocketForward>> SocketForward::Start(base::EventLoop& loop,
                                                            Options options) {
  std::unique_ptr<SocketForward> forward(new SocketForward(loop, std::move(options)));
  const Options& o = forward->options_;
  TRY_ASSIGN(forward->listener_, base::ListenUnix(o.path));
  TRY(SetOwnerAndMode(o));
  forward->Listen(true);
  return forward;
}

base::Status SetOwnerAndMode(const SocketForward::Options& o) {
  if (chown(o.path.c_str(), o.uid, o.gid) != 0) return HOLT_ERRNO("chown {}", o.path);
  if (chmod(o.path.c_str(), o.mode & 07777) != 0) return HOLT_ERRNO("chmod {}", o.path);
  return {};
}

SocketForward::~SocketForward() {
  alive_.reset();
  Listen(false);
  for (auto& [id, connection] : connections_) {
    if (connection.host) loop_.RemoveFd(connection.host.get());
    if (auto relay = connection.relay.lock()) relay->Abort();
  }
  unlink(options_.path.c_str());
}

void SocketForward::Listen(bool listen) {
  if (listen == listening_ || !listener_) return;
  listening_ = listen;
  if (!listen) return loop_.RemoveFd(listener_.get());
  auto status = loop_.AddFd(listener_.get(), EPOLLIN, [this](uint32_t) { OnAccept(); });
  if (!status) base::log::Error("{}: {}", options_.path, status.error().message());
}

void SocketForward::OnAccept() {
  auto local = base::AcceptUnix(listener_.get());
  if (!local) return;
  auto host = BeginDialHost(options_.port);
  if (!host) return base::log::Warning("{}", host.error().message());
  const uint64_t id = next_++;
  const int fd = host->get();
  auto watched = loop_.AddFd(fd, EPOLLOUT, [this, id](uint32_t) { OnDialled(id); });
  if (!watched) return base::log::Warning("{}", watched.error().message());
  connections_[id] = {std::move(*local), std::move(*host), {}};
  if (connections_.size() >= kMaxConnections) Listen(false);
}

void SocketForward::OnDialled(uint64_t id) {
  Connection& connection = connections_.at(id);
  loop_.RemoveFd(connection.host.get());
  UniqueFd host = std::move(connection.host);
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(host.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  // The caller sees its connection end, as with a service that accepts and gives up.
  if (error != 0) return Drop(id);
  auto relay = base::Relay::Start(loop_, std::move(connection.local), std::move(host),
                                  [this, id, alive = std::weak_ptr<bool>(alive_)] {
                                    if (!alive.expired()) Drop(id);
                                  });
  if (!relay) return Drop(id);
  connection.relay = *relay;
}

void SocketForward::Drop(uint64_t id) {
  connections_.erase(id);
  if (connections_.size() < kMaxConnections) Listen(true);
}

}  // namespace holt::guest_agent
