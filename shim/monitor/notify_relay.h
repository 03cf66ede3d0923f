#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "shim/state/notify_socket.h"

namespace holt::shim {

// Passes on to NOTIFY_SOCKET on the host what the container says of itself: the agent's connection
// brings notifications as frames (rpc/datagram.h), NotificationForHost() of each goes out
// (docs/adr/0140-what-a-container-says-of-itself.md).
//
// The guest is hostile: it has one connection, of which one message is looked at at a time and
// kMaxPerSecond in a second; a host that does not take them is asked again, not waited for.
class NotifyRelay {
 public:
  static constexpr int kMaxPerSecond = 32;

  // In whose name it speaks. systemd looks at the sender's cgroup or at the process that it knows.
  struct Voice {
    pid_t sender = 0;  // 0: this process
    // Not 0: READY=1 is followed by MAINPID=<main> and a barrier, and from then on that is the
    // sender.
    pid_t main = 0;
  };

  // `guest` listens, without blocking, where the agent's connection arrives.
  static base::Result<std::unique_ptr<NotifyRelay>> Start(base::EventLoop& loop,
                                                          base::UniqueFd guest, NotifySocket host);
  ~NotifyRelay();
  NotifyRelay(const NotifyRelay&) = delete;
  NotifyRelay& operator=(const NotifyRelay&) = delete;

  // Until then nothing is read.
  void Open(Voice voice);
  // Calls back when the host has taken READY=1, or at the End.
  void WhenReady(std::function<void()> done);
  // Who waits for READY=1 waits no longer.
  void End();

 private:
  struct Message {
    std::string text;
    bool barrier = false;
  };
  NotifyRelay(base::EventLoop& loop, base::UniqueFd guest, NotifySocket host)
      : loop_(loop), listener_(std::move(guest)), host_(std::move(host)) {}
  void OnAccept();
  void OnGuest();
  void DropGuest();
  // Looks at what was read as far as it may, and watches for more when it may be read.
  void Step();
  bool TakeOne();
  void Flush();
  int Send(const Message& message);
  void WaitForBarrier(base::UniqueFd read_end);

  base::EventLoop& loop_;
  base::UniqueFd listener_;
  NotifySocket host_;
  base::UniqueFd socket_;  // that sends to it
  bool open_ = false;
  Voice voice_;
  base::UniqueFd guest_;
  bool watching_ = false;
  std::string bytes_;          // of the guest's, not looked at
  std::deque<Message> queue_;  // one notification and what follows it
  base::EventLoop::TimerId retry_ = 0;
  int tries_ = 0;
  base::EventLoop::TimerId window_ = 0;
  int in_window_ = 0;
  bool said_lost_ = false;
  bool ready_ = false;  // was said
  bool done_ = false;   // and taken, or nobody will
  base::UniqueFd barrier_;
  base::EventLoop::TimerId barrier_timer_ = 0;
  std::vector<std::function<void()>> waiters_;
};

}  // namespace holt::shim
