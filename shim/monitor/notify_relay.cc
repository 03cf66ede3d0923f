#include "shim/monitor/notify_relay.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "base/log.h"
#include "base/socket.h"
#include "rpc/datagram.h"
#include "shim/monitor/notification.h"
#include "shim/monitor/timeline.h"

namespace holt::shim {
namespace {

using namespace std::chrono_literals;

constexpr auto kWindow = 1s;
// A host whose queue is full is asked again, for half a minute in all.
constexpr auto kRetry = 50ms;
constexpr int kTries = 600;
// As long as runc waits for the host's answer.
constexpr auto kBarrierPatience = 30s;

}  // namespace

base::Result<std::unique_ptr<NotifyRelay>> NotifyRelay::Start(base::EventLoop& loop,
                                                              base::UniqueFd guest,
                                                              NotifySocket host) {
  std::unique_ptr<NotifyRelay> relay(new NotifyRelay(loop, std::move(guest), std::move(host)));
  relay->socket_ = base::UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!relay->socket_) return HOLT_ERRNO("socket");
  NotifyRelay* raw = relay.get();
  TRY(loop.AddFd(raw->listener_.get(), EPOLLIN, [raw](uint32_t) { raw->OnAccept(); }));
  return relay;
}

NotifyRelay::~NotifyRelay() {
  loop_.RemoveFd(listener_.get());
  DropGuest();
  if (barrier_) loop_.RemoveFd(barrier_.get());
  for (auto timer : {retry_, window_, barrier_timer_})
    if (timer != 0) loop_.CancelTimer(timer);
}

void NotifyRelay::Open(Voice voice) {
  voice_ = voice;
  open_ = true;
  Step();
}

void NotifyRelay::WhenReady(std::function<void()> done) {
  if (done_) return done();
  waiters_.push_back(std::move(done));
}

void NotifyRelay::End() {
  done_ = true;
  if (barrier_timer_ != 0) loop_.CancelTimer(std::exchange(barrier_timer_, 0));
  if (barrier_) loop_.RemoveFd(barrier_.get());
  barrier_.Reset();
  for (auto& waiter : std::exchange(waiters_, {})) waiter();
}

// An agent has one; who dials anew has given the last one up.
void NotifyRelay::OnAccept() {
  auto guest = base::AcceptUnix(listener_.get());
  if (!guest) return;
  DropGuest();
  guest_ = std::move(*guest);
  Step();
}

void NotifyRelay::DropGuest() {
  if (watching_) loop_.RemoveFd(guest_.get());
  watching_ = false;
  guest_.Reset();
  bytes_.clear();
}

void NotifyRelay::OnGuest() {
  char buffer[rpc::kMaxNotification];
  const ssize_t n = recv(guest_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return DropGuest();
  bytes_.append(buffer, static_cast<size_t>(n));
  Step();
}

void NotifyRelay::Step() {
  auto may_read = [this] { return open_ && queue_.empty() && in_window_ < kMaxPerSecond; };
  while (may_read() && TakeOne()) {
  }
  const bool want = guest_ && may_read();
  if (want == watching_) return;
  watching_ = want;
  if (!want) return loop_.RemoveFd(guest_.get());
  if (auto status = loop_.AddFd(guest_.get(), EPOLLIN, [this](uint32_t) { OnGuest(); }); !status) {
    base::log::Error("notifications: {}", status.error().message());
    watching_ = false;
    DropGuest();
  }
}

bool NotifyRelay::TakeOne() {
  const auto frame = rpc::TakeDatagram(bytes_);
  // What is too long is no notification, and no agent of ours.
  if (frame ? frame->size() > rpc::kMaxNotification : bytes_.size() >= rpc::kMaxNotification + 2) {
    DropGuest();
    return false;
  }
  if (!frame) return false;
  if (in_window_++ == 0)
    window_ = loop_.AddTimer(kWindow, [this] {
      window_ = 0;
      in_window_ = 0;
      Step();
    });
  std::string text = NotificationForHost(*frame, MonotonicNanos() / 1000);
  bytes_.erase(0, frame->size() + 2);
  if (text.empty()) return true;
  const bool ready = SaysReady(text) && !std::exchange(ready_, true);
  queue_.push_back({std::move(text), false});
  if (ready && voice_.main != 0) {
    queue_.push_back({fmt::format("MAINPID={}\n", voice_.main), false});
    queue_.push_back({"BARRIER=1", true});
  }
  Flush();
  return true;
}

void NotifyRelay::Flush() {
  while (!queue_.empty()) {
    int error = Send(queue_.front());
    // The process in whose name it spoke is gone.
    if (error == ESRCH && std::exchange(voice_.sender, 0) != 0) continue;
    if (error == EAGAIN && ++tries_ < kTries) {
      retry_ = loop_.AddTimer(kRetry, [this] {
        retry_ = 0;
        Flush();
        Step();
      });
      return;
    }
    if (error != 0 && !std::exchange(said_lost_, true))
      base::log::Warning("{}: what the container says of itself is lost: {}", kNotifyVariable,
                         std::strerror(error));
    if (error != 0 && queue_.front().barrier) End();
    tries_ = 0;
    queue_.pop_front();
  }
}

int NotifyRelay::Send(const Message& message) {
  if (!message.barrier)
    return SendNotification(socket_.get(), host_, message.text, voice_.sender, -1);
  // The host closes what it got when it has seen all that was sent before.
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return errno;
  base::UniqueFd read_end(ends[0]);
  base::UniqueFd write_end(ends[1]);
  const int error =
      SendNotification(socket_.get(), host_, message.text, voice_.sender, write_end.get());
  if (error != 0) return error;
  voice_.sender = voice_.main;
  if (!done_) WaitForBarrier(std::move(read_end));
  return 0;
}

void NotifyRelay::WaitForBarrier(base::UniqueFd read_end) {
  barrier_ = std::move(read_end);
  barrier_timer_ = loop_.AddTimer(kBarrierPatience, [this] {
    barrier_timer_ = 0;
    End();
  });
  if (!loop_.AddFd(barrier_.get(), EPOLLIN, [this](uint32_t) { End(); })) End();
}

}  // namespace holt::shim
