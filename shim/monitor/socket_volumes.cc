#include "shim/monitor/socket_volumes.h"

#include <fmt/core.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <utility>

#include "base/log.h"
#include "base/socket.h"

namespace holt::shim {
namespace {

using namespace std::chrono_literals;

// A service whose queue is full is asked again, for a second in all.
constexpr auto kRetry = 20ms;
constexpr int kTries = 50;

}  // namespace

SocketVolumes::~SocketVolumes() {
  alive_.reset();
  for (const Target& target : targets_) loop_.RemoveFd(target.guest.get());
  for (auto& [id, connection] : connections_) {
    if (connection.retry != 0) loop_.CancelTimer(connection.retry);
    if (auto relay = connection.relay.lock()) relay->Abort();
  }
}

base::Status SocketVolumes::Add(base::UniqueFd node, base::UniqueFd guest) {
  TRY(loop_.AddFd(guest.get(), EPOLLIN,
                  [this, target = targets_.size()](uint32_t) { OnAccept(target); }));
  targets_.push_back({std::move(node), std::move(guest)});
  return {};
}

void SocketVolumes::OnAccept(size_t target) {
  auto guest = base::AcceptUnix(targets_[target].guest.get());
  if (!guest) return;
  if (connections_.size() >= kMaxConnections) {
    if (!std::exchange(said_full_, true))
      base::log::Warning("the guest has {} connections to sockets of the host, no more",
                         kMaxConnections);
    return;  // closes it
  }
  const uint64_t id = next_++;
  connections_[id].guest = std::move(*guest);
  Connect(id, target);
}

void SocketVolumes::Connect(uint64_t id, size_t target) {
  Connection& connection = connections_.at(id);
  connection.retry = 0;
  // By the descriptor: the very socket that was mounted, whatever its path leads to now.
  auto host = base::ConnectUnix(fmt::format("/proc/self/fd/{}", targets_[target].node.get()),
                                SOCK_NONBLOCK);
  if (!host && host.error().err() == EAGAIN && ++connection.tries < kTries) {
    connection.retry = loop_.AddTimer(kRetry, [this, id, target] { Connect(id, target); });
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
