#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "base/event_loop.h"
#include "base/relay.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace holt::shim {

// The host's end of sockets that a container may connect to (docs/adr/0111-sockets-of-the-host.md):
// for each a vsock port that the guest dials, and for each connection one to the host's socket.
class SocketVolumes {
 public:
  // Connections of a sandbox at once; others are refused. The agent asks for fewer.
  static constexpr size_t kMaxConnections = 256;

  // The first port for sockets; below are the agent's own.
  static constexpr uint32_t kFirstPort = 1100;

  explicit SocketVolumes(base::EventLoop& loop) : loop_(loop) {}
  ~SocketVolumes();
  SocketVolumes(const SocketVolumes&) = delete;
  SocketVolumes& operator=(const SocketVolumes&) = delete;

  // What arrives at `guest`, which listens and does not block, goes to the socket of which `node`
  // is an O_PATH descriptor.
  base::Status Add(base::UniqueFd node, base::UniqueFd guest);
  size_t connections() const { return connections_.size(); }

 private:
  struct Target {
    base::UniqueFd node;
    base::UniqueFd guest;
  };
  struct Connection {
    base::UniqueFd guest;  // until the host's socket takes it
    std::weak_ptr<base::Relay> relay;
    base::EventLoop::TimerId retry = 0;
    int tries = 0;
  };
  void OnAccept(size_t target);
  void Connect(uint64_t id, size_t target);

  base::EventLoop& loop_;
  std::vector<Target> targets_;
  std::map<uint64_t, Connection> connections_;
  uint64_t next_ = 1;
  bool said_full_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace holt::shim
