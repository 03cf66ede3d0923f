#include "rpc/connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/file.h"

namespace holt::rpc {

std::shared_ptr<Connection> Connection::Create(base::EventLoop& loop, base::UniqueFd socket) {
  return std::shared_ptr<Connection>(new Connection(loop, std::move(socket)));
}

Connection::~Connection() { Close(); }

base::Status Connection::Start(Handlers handlers) {
  handlers_ = std::move(handlers);
  TRY(base::SetNonblocking(socket_.get(), true));
  // The loop must not keep the connection alive: its owner does.
  return loop_.AddFd(socket_.get(), EPOLLIN, [weak = weak_from_this()](uint32_t events) {
    if (auto self = weak.lock()) self->OnEvents(events);
  });
}

void Connection::Send(const FrameHeader& header, std::string_view data) {
  if (!open()) return;
  if (output_.size() - output_sent_ + data.size() > kMaxQueuedBytes) {
    // From the loop, so that the caller's state is whole when on_closed runs.
    loop_.Post([weak = weak_from_this()] {
      if (auto self = weak.lock())
        self->Fail(base::Error(base::Code::kResourceExhausted, "ttrpc: the peer does not read"));
    });
    return;
  }
  AppendFrame(output_, header, data);
  Flush();
}

void Connection::Close() {
  if (!open()) return;
  loop_.RemoveFd(socket_.get());
  socket_.Reset();
}

void Connection::OnEvents(uint32_t events) {
  auto self = shared_from_this();
  if ((events & EPOLLOUT) != 0) Flush();
  if (open() && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) ReadAvailable();
}

void Connection::ReadAvailable() {
  char buffer[65536];
  ssize_t n = recv(socket_.get(), buffer, sizeof buffer, 0);
  if (n < 0) {
    if (errno == EAGAIN || errno == EINTR) return;
    return Fail(HOLT_ERRNO("ttrpc: receive"));
  }
  if (n == 0) return Fail({});
  reader_.Append({buffer, static_cast<size_t>(n)});
  while (open()) {
    auto frame = reader_.Next();
    if (!frame) return;
    handlers_.on_frame(std::move(*frame));
  }
}

void Connection::Flush() {
  while (output_sent_ < output_.size()) {
    ssize_t n = send(socket_.get(), output_.data() + output_sent_, output_.size() - output_sent_,
                     MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) {
      // Reported by the read side, which sees the reset too: a caller of Send is never re-entered.
      output_.clear();
      output_sent_ = 0;
      shutdown(socket_.get(), SHUT_RDWR);
      break;
    }
    output_sent_ += static_cast<size_t>(n);
  }
  if (output_sent_ == output_.size()) {
    output_.clear();
    output_sent_ = 0;
  } else if (output_sent_ > (1 << 20)) {
    output_.erase(0, output_sent_);
    output_sent_ = 0;
  }
  bool want = !output_.empty();
  if (want == want_write_) return;
  want_write_ = want;
  (void)loop_.ModifyFd(socket_.get(), want ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void Connection::Fail(base::Status reason) {
  if (!open()) return;
  Close();
  auto on_closed = std::move(handlers_.on_closed);
  if (on_closed) on_closed(std::move(reason));
}

}  // namespace holt::rpc
