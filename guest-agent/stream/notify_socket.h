#pragma once

#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "guest-agent/stream/socket_forward.h"

namespace holt::guest_agent {

// The socket where a container's programs say how they are (sd_notify(3)): each datagram goes to
// the host as a frame (rpc/datagram.h) on one connection, which is made when there is one to pass
// on (docs/adr/0140-what-a-container-says-of-itself.md).
//
// One datagram is on the way at most: a host that takes them slowly lets who sends wait.
// Descriptors that come with them mean nothing on the host and are closed at once; a BARRIER=1 asks
// for just that, and it is read when what was sent before it is out.
class NotifySocket {
 public:
  using Options = SocketForward::Options;

  static base::Result<std::unique_ptr<NotifySocket>> Start(base::EventLoop& loop, Options options);
  // Removes the socket.
  ~NotifySocket();
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;

  const std::string& path() const { return options_.path; }

 private:
  NotifySocket(base::EventLoop& loop, Options options)
      : loop_(loop), options_(std::move(options)) {}
  void OnDatagrams();
  // False when there is none, or one is on the way.
  bool TakeOne();
  void OnHost(uint32_t events);
  void Send();
  void DropHost();
  void Watch();

  base::EventLoop& loop_;
  Options options_;
  base::UniqueFd socket_;
  base::UniqueFd host_;
  bool watching_ = false;
  std::string out_;  // a frame, or what is left of it
};

}  // namespace holt::guest_agent
