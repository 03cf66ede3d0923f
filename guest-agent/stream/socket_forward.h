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

namespace holt::guest_agent {

// A UNIX stream socket of the guest's that stands for one of the host's
// (docs/adr/0111-sockets-of-the-host.md): each connection to it becomes one to a vsock port of the
// host's, where the monitor joins it to the real one.
class SocketForward {
 public:
  struct Options {
    std::string path;  // made here, in a directory that only the agent reaches
    mode_t mode = 0;   // permission bits, as the host's has them
    uid_t uid = 0;
    gid_t gid = 0;
    uint32_t port = 0;
  };
  // Connections at once; who comes then waits in the socket's queue, and after that in connect(2).
  static constexpr size_t kMaxConnections = 200;

  static base::Result<std::unique_ptr<SocketForward>> Start(base::EventLoop& loop, Options options);
  // Ends every connection and removes the socket.
  ~SocketForward();
  SocketForward(const SocketForward&) = delete;
  SocketForward& operator=(const SocketForward&) = delete;

  const std::string& path() const { return options_.path; }

 private:
  struct Connection {
    base::UniqueFd local;
    base::UniqueFd host;  // while it is dialled
    std::weak_ptr<base::Relay> relay;
  };
  SocketForward(base::EventLoop& loop, Options options)
      : loop_(loop), options_(std::move(options)) {}
  void OnAccept();
  void OnDialled(uint64_t id);
  void Drop(uint64_t id);
  void Listen(bool listen);

  base::EventLoop& loop_;
  Options options_;
  base::UniqueFd listener_;
  bool listening_ = false;
  uint64_t next_ = 1;
  std::map<uint64_t, Connection> connections_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// Makes a bound socket look like the host's.
base::Status SetOwnerAndMode(const SocketForward::Options& options);

}  // namespace holt::guest_agent
