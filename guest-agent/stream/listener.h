#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holt::guest_agent {

// A listening stream socket that a process of the guest has in place of one of the host's
// (docs/adr/0141-descriptors-beside-stdio.md): connections to the host's are made to this one by
// the agent. Of the family of the host's; one of an internet family is on loopback.
class Listener {
 public:
  struct Made;
  // `port`: the one to listen on, or another if it is taken.
  static base::Result<Made> Make(int family, uint16_t port);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // A nonblocking connection, which the process will accept. kUnavailable when its queue is full.
  base::Result<base::UniqueFd> Connect() const;

 private:
  Listener() = default;
  sockaddr_storage address_{};
  socklen_t size_ = 0;
  std::string path_;  // of a UNIX socket, to be removed
};

struct Listener::Made {
  std::unique_ptr<Listener> listener;
  base::UniqueFd socket;  // for the process
};

}  // namespace holt::guest_agent
