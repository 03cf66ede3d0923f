#include "guest-agent/stream/notify_socket.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/socket.h"
#include "guest-agent/stream/vsock.h"
#include "rpc/datagram.h"

namespace holt::guest_agent {
namespace {

// Datagrams after one wakeup before others get their turn.
constexpr int kTurns = 16;
// The kernel's limit for one message (SCM_MAX_FD).
constexpr size_t kMaxFds = 253;

}  // namespace

base::Result<std::unique_ptr<NotifySocket>> NotifySocket::Start(base::EventLoop& loop,
                                                                Options options) {
  std::unique_ptr<NotifySocket> notify(new NotifySocket(loop, std::move(options)));
  TRY_ASSIGN(notify->socket_, base::BindDatagramUnix(notify->options_.path));
  TRY(SetOwnerAndMode(notify->options_));
  notify->Watch();
  return notify;
}

NotifySocket::~NotifySocket() {
  DropHost();
  if (watching_) loop_.RemoveFd(socket_.get());
  unlink(options_.path.c_str());
}

void NotifySocket::Watch() {
  const bool want = out_.empty();
  if (want == watching_) return;
  watching_ = want;
  if (!want) return loop_.RemoveFd(socket_.get());
  auto status = loop_.AddFd(socket_.get(), EPOLLIN, [this](uint32_t) { OnDatagrams(); });
  if (!status) base::log::Error("{}: {}", options_.path, status.error().message());
}

void NotifySocket::OnDatagrams() {
  for (int turn = 0; turn < kTurns && TakeOne(); ++turn) {
  }
  Watch();
}

bool NotifySocket::TakeOne() {
  if (!out_.empty()) return false;
  // One byte more tells what is too long.
  auto message = base::ReceiveWithFds(socket_.get(), rpc::kMaxNotification + 1, kMaxFds);
  if (!message) return message.error().err() != EAGAIN;
  const std::string& text = message->data;
  if (text.empty() || text.size() > rpc::kMaxNotification) return true;
  out_ = rpc::FrameDatagram(text);
  if (host_) return Send(), true;
  auto host = BeginDialHost(options_.port);
  if (host) host_ = std::move(*host);
  if (!host || !loop_.AddFd(host_.get(), EPOLLOUT, [this](uint32_t e) { OnHost(e); })) DropHost();
  return true;
}

void NotifySocket::OnHost(uint32_t events) {
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
    DropHost();
  } else {
    Send();
  }
  Watch();
}

void NotifySocket::Send() {
  const ssize_t n = send(host_.get(), out_.data(), out_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOTCONN) return DropHost();
  if (n > 0) out_.erase(0, static_cast<size_t>(n));
  if (!loop_.ModifyFd(host_.get(), out_.empty() ? 0u : uint32_t{EPOLLOUT})) DropHost();
}

// With what was on the way; the next one dials anew.
void NotifySocket::DropHost() {
  out_.clear();
  if (!host_) return;
  loop_.RemoveFd(host_.get());
  host_.Reset();
}

}  // namespace holt::guest_agent
