#include "shim/stdio/pump.h"

#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace holt::shim {
namespace {

constexpr size_t kChunk = 64 << 10;

enum class Kind { kSocket, kFile, kOther };

Kind KindOf(int fd) {
  struct stat st {};
  if (fstat(fd, &st) != 0) return Kind::kOther;
  if (S_ISSOCK(st.st_mode)) return Kind::kSocket;
  return S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) ? Kind::kFile : Kind::kOther;
}

// Bytes taken now, 0 for "not now", -1 with errno.
ssize_t WriteNow(int fd, const char* data, size_t size) {
  switch (KindOf(fd)) {
    case Kind::kSocket: {
      ssize_t n = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
      return n < 0 && errno == EAGAIN ? 0 : n;
    }
    case Kind::kFile:
      return write(fd, data, size);
    case Kind::kOther:
      break;
  }
  // A pipe that polls writable takes PIPE_BUF bytes without blocking.
  pollfd ready{fd, POLLOUT, 0};
  if (poll(&ready, 1, 0) <= 0) return 0;
  ssize_t n = write(fd, data, std::min<size_t>(size, PIPE_BUF));
  return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : n;
}

}  // namespace

base::Status Pump::Start(Done done) {
  done_ = std::move(done);
  running_ = true;
  Wait();
  return {};
}

void Pump::Stop() {
  running_ = false;
  Unwatch();
}

void Pump::Unwatch() {
  if (watched_ >= 0) loop_.RemoveFd(watched_);
  watched_ = -1;
}

void Pump::Finish(base::Status status) {
  Stop();
  auto done = std::move(done_);
  done_ = nullptr;
  if (done) done(std::move(status));
}

void Pump::Wait() {
  if (!running_) return;
  bool writing = sent_ < buffer_.size();
  int fd = writing ? to_ : from_;
  if (fd == watched_) return;
  Unwatch();
  auto status = loop_.AddFd(fd, writing ? EPOLLOUT : EPOLLIN, [this](uint32_t) {
    if (sent_ < buffer_.size()) {
      Write();
    } else {
      Read();
    }
  });
  if (status) {
    watched_ = fd;
    return;
  }
  if (status.error().err() != EPERM) return Finish(std::move(status));
  // A regular file: always ready.
  loop_.Post([this, alive = std::weak_ptr<bool>(alive_), writing] {
    if (alive.expired() || !running_) return;
    if (writing) {
      Write();
    } else {
      Read();
    }
  });
}

void Pump::Read() {
  buffer_.resize(kChunk);
  sent_ = 0;
  ssize_t n = read(from_, buffer_.data(), buffer_.size());
  int err = errno;
  buffer_.resize(n > 0 ? static_cast<size_t>(n) : 0);
  if (n < 0) {
    if (err == EAGAIN || err == EINTR) return Wait();
    // What a pty's master says when the last slave was closed.
    if (err == EIO) return Finish({});
    return Finish(base::ErrnoError(err, "read"));
  }
  if (n == 0) return Finish({});
  if (filter_ && !filter_(buffer_)) return Finish(base::Error(base::Code::kCancelled, "detached"));
  Write();
}

void Pump::Write() {
  if (WriteSome()) Wait();
}

bool Pump::WriteSome() {
  while (sent_ < buffer_.size()) {
    ssize_t n = WriteNow(to_, buffer_.data() + sent_, buffer_.size() - sent_);
    if (n == 0) return true;
    if (n < 0) {
      Finish(HOLT_ERRNO("write"));
      return false;
    }
    sent_ += static_cast<size_t>(n);
  }
  buffer_.clear();
  sent_ = 0;
  return true;
}

}  // namespace holt::shim
