#include "guest-agent/stream/pump.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

namespace holt::guest_agent {
namespace {

using base::UniqueFd;

// Reads after one wakeup before others get their turn.
constexpr int kReadsPerTurn = 8;
constexpr auto kPtyRetry = std::chrono::milliseconds(50);

}  // namespace

base::Result<std::shared_ptr<Pump>> Pump::Start(base::EventLoop& loop, Kind kind, UniqueFd source,
                                                UniqueFd sink, std::function<void()> on_end) {
  TRY(base::SetNonblocking(source.get(), true));
  TRY(base::SetNonblocking(sink.get(), true));
  std::shared_ptr<Pump> pump(
      new Pump(loop, kind, std::move(source), std::move(sink), std::move(on_end)));
  pump->self_ = pump;
  pump->Watch();
  return pump;
}

Pump::~Pump() {
  if (watching_source_) loop_.RemoveFd(source_.get());
  if (watching_sink_) loop_.RemoveFd(sink_.get());
  if (retry_ != 0) loop_.CancelTimer(retry_);
}

// Exactly what can go on is watched: a descriptor that hung up would wake a level-triggered loop
// for ever otherwise.
void Pump::Watch() {
  bool blocked = sent_ < pending_.size();
  bool want_source = !ended_ && !blocked && !source_ended_ && retry_ == 0;
  bool want_sink = !ended_ && blocked;
  auto update = [this](bool want, bool& watching, int fd, uint32_t events) {
    if (want == watching) return;
    watching = want;
    if (!want) return loop_.RemoveFd(fd);
    auto status = loop_.AddFd(fd, events, [this, events](uint32_t) {
      auto keep = shared_from_this();
      if (events == EPOLLIN) {
        OnReadable();
      } else {
        Flush();
      }
    });
    if (!status) {
      watching = false;
      base::log::Error("stdio: {}", status.error().message());
    }
  };
  update(want_source, watching_source_, source_.get(), EPOLLIN);
  update(want_sink, watching_sink_, sink_.get(), EPOLLOUT);
}

void Pump::OnReadable() {
  for (int i = 0; i < kReadsPerTurn && ReadOnce(); ++i) {
  }
  Watch();
}

bool Pump::ReadOnce() {
  // One buffer for all pumps: it is used between a read and its write only.
  static char buffer[kBufferBytes];
  ssize_t n = read(source_.get(), buffer, sizeof buffer);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (n <= 0) {
    OnSourceEnd();
    return false;
  }
  size_t size = static_cast<size_t>(n);
  if (!sink_) return true;
  ssize_t written = write(sink_.get(), buffer, size);
  if (written < 0 && errno != EAGAIN && errno != EINTR) {
    OnSinkError(errno);
    return !ended_;
  }
  size_t taken = written < 0 ? 0 : static_cast<size_t>(written);
  if (taken == size) return true;
  pending_.assign(buffer + taken, size - taken);
  sent_ = 0;
  return false;
}

void Pump::OnSourceEnd() {
  if (kind_ == Kind::kPtyOutput && !process_exited_) {
    retry_ = loop_.AddTimer(kPtyRetry, [this] {
      auto keep = shared_from_this();
      retry_ = 0;
      OnReadable();
    });
    return;
  }
  source_ended_ = true;
  End();
}

void Pump::Flush() {
  while (sent_ < pending_.size()) {
    ssize_t n = write(sink_.get(), pending_.data() + sent_, pending_.size() - sent_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) {
      OnSinkError(errno);
      break;
    }
    sent_ += static_cast<size_t>(n);
  }
  if (ended_) return;
  pending_.clear();
  pending_.shrink_to_fit();  // an idle container has many streams
  sent_ = 0;
  Watch();
}

void Pump::OnSinkError(int err) {
  if (kind_ == Kind::kInput || !process_exited_) {
    // The other side is told by the closed descriptor, as a shell's pipe would.
    base::log::Debug("stdio: {}", base::ErrnoError(err, "write").message());
    pending_.clear();
    sent_ = 0;
    return End();
  }
  if (watching_sink_) loop_.RemoveFd(sink_.get());
  watching_sink_ = false;
  sink_.Reset();
  pending_.clear();
  sent_ = 0;
}

void Pump::ProcessExited() {
  auto keep = shared_from_this();
  process_exited_ = true;
  if (ended_) return;
  if (kind_ == Kind::kInput) return End();
  if (retry_ != 0) {
    loop_.CancelTimer(retry_);
    retry_ = 0;
    OnReadable();
  }
}

void Pump::Abort() {
  auto keep = shared_from_this();
  pending_.clear();
  sent_ = 0;
  End();
}

void Pump::End() {
  if (ended_) return;
  ended_ = true;
  Watch();
  if (retry_ != 0) loop_.CancelTimer(retry_);
  retry_ = 0;
  source_.Reset();
  // The end of the stream, whoever else has a copy of its descriptor.
  if (kind_ != Kind::kInput && sink_) shutdown(sink_.get(), SHUT_WR);
  sink_.Reset();
  auto on_end = std::move(on_end_);
  loop_.Post([self = std::move(self_), on_end = std::move(on_end)] {
    if (on_end) on_end();
  });
}

}  // namespace holt::guest_agent
