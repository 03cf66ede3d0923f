#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

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

  // `directory` is where holt-vmm, user `owner`, looks for "<name>_<port>" (vmm/devices/vsock.h).
  SocketVolumes(base::EventLoop& loop, std::string directory, std::string name, uid_t owner)
      : loop_(loop), prefix_(directory + "/" + name + "_"), owner_(owner) {}
  ~SocketVolumes();
  SocketVolumes(const SocketVolumes&) = delete;
  SocketVolumes& operator=(const SocketVolumes&) = delete;

  // `node` is an O_PATH descriptor of the socket. The port that leads to it.
  base::Result<uint32_t> Add(base::UniqueFd node);
  size_t connections() const { return connections_.size(); }

 private:
  struct Target {
    base::UniqueFd node;
    base::UniqueFd listener;
  };
  struct Connection {
    base::UniqueFd guest;  // until the host's socket takes it
    std::weak_ptr<base::Relay> relay;
    base::EventLoop::TimerId retry = 0;
    int tries = 0;
  };
  void OnAccept(uint32_t port);
  void Connect(uint64_t id, uint32_t port);

  base::EventLoop& loop_;
  std::string prefix_;
  uid_t owner_;
  std::map<uint32_t, Target> targets_;
  std::map<uint64_t, Connection> connections_;
  uint64_t next_ = 1;
  bool said_full_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace holt::shim
