#include "shim/monitor/socket_volumes.h"

#include <fmt/core.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "base/log.h"
#include "base/socket.h"

namespace holt::shim {
namespace {

using namespace std::chrono_literals;

// The first port for sockets; below are the agent's own.
constexpr uint32_t kFirstPort = 1100;
// A service whose queue is full is asked again, for a second in all.
constexpr auto kRetry = 20ms;
constexpr int kTries = 50;

}  // namespace

SocketVolumes::~SocketVolumes() {
  alive_.reset();
  for (auto& [port, target] : targets_) {
    loop_.RemoveFd(target.listener.get());
    unlink(fmt::format("{}{}", prefix_, port).c_str());
  }
  for (auto& [id, connection] : connections_) {
    if (connection.retry != 0) loop_.CancelTimer(connection.retry);
    if (auto relay = connection.relay.lock()) relay->Abort();
  }
}

base::Result<uint32_t> SocketVolumes::Add(base::UniqueFd node) {
  const uint32_t port = kFirstPort + static_cast<uint32_t>(targets_.size());
  const std::string path = fmt::format("{}{}", prefix_, port);
  TRY_ASSIGN(base::UniqueFd listener, base::ListenUnix(path));
  if (chown(path.c_str(), owner_, owner_) != 0) return HOLT_ERRNO("chown {}", path);
  TRY(loop_.AddFd(listener.get(), EPOLLIN, [this, port](uint32_t) { OnAccept(port); }));
  targets_[port] = {std::move(node), std::move(listener)};
  return port;
}

void SocketVolumes::OnAccept(uint32_t port) {
  auto guest = base::AcceptUnix(targets_.at(port).listener.get());
  if (!guest) return;
  if (connections_.size() >= kMaxConnections) {
    if (!std::exchange(said_full_, true))
      base::log::Warning("the guest has {} connections to sockets of the host, no more",
                         kMaxConnections);
    return;  // closes it
  }
  const uint64_t id = next_++;
  connections_[id].guest = std::move(*guest);
  Connect(id, port);
}

void SocketVolumes::Connect(uint64_t id, uint32_t port) {
  Connection& connection = connections_.at(id);
  connection.retry = 0;
  // By the descriptor: the very socket that was mounted, whatever its path leads to now.
  auto host = base::ConnectUnix(fmt::format("/proc/self/fd/{}", targets_.at(port).node.get()),
                                SOCK_NONBLOCK);
  if (!host && host.error().err() == EAGAIN && ++connection.tries < kTries) {
    connection.retry = loop_.AddTimer(kRetry, [this, id, port] { Connect(id, port); });
    return;
  }
  if (!host) {
    base::log::Info("a socket of the host: {}", host.error().message());
    connections_.erase(id);
    return;
  }
  auto relay = base::Relay::Start(loop_, std::move(connection.guest), std::move(*host),
                                  [this, id, alive = std::weak_ptr<bool>(alive_)] {
                                    if (!alive.expired()) connections_.erase(id);
                                  });
  if (!relay) {
    base::log::Warning("a socket of the host: {}", relay.error().message());
    connections_.erase(id);
    return;
  }
  connection.relay = *relay;
}

}  // namespace holt::shim
