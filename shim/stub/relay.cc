#include "shim/stub/relay.h"

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

namespace holt::stub {

pollfd Relay::Wanted() const {
  if (done_) return {-1, 0, 0};
  return sent_ < size_ ? pollfd{to_, POLLOUT, 0} : pollfd{from_, POLLIN, 0};
}

void Relay::OnReady(short events) {
  if (done_ || events == 0) return;
  if (sent_ < size_) {
    Write();
  } else {
    Read();
  }
}

void Relay::Read() {
  ssize_t n = read(from_, buffer_, sizeof buffer_);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  // EIO is how a terminal says that its other side was closed.
  if (n <= 0) {
    done_ = true;
    return;
  }
  size_ = static_cast<size_t>(n);
  sent_ = 0;
}

void Relay::Write() {
  // A pipe that polls writable takes PIPE_BUF bytes without blocking.
  size_t left = size_ - sent_;
  ssize_t n = send(to_, buffer_ + sent_, left, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n < 0 && errno == ENOTSOCK) n = write(to_, buffer_ + sent_, std::min<size_t>(left, PIPE_BUF));
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (n < 0) {
    done_ = true;
    target_gone_ = true;
    return;
  }
  sent_ += static_cast<size_t>(n);
}

}  // namespace holt::stub
