#include "base/relay.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "base/log.h"

namespace holt::base {
namespace {

// Steps after one wakeup before others get their turn.
constexpr int kTurns = 16;

bool HungUp(int socket) {
  pollfd ready{socket, 0, 0};
  return poll(&ready, 1, 0) == 1 && (ready.revents & POLLHUP) != 0;
}

}  // namespace

Result<std::shared_ptr<Relay>> Relay::Start(EventLoop& loop, UniqueFd a, UniqueFd b,
                                            std::function<void()> on_end) {
  TRY(SetNonblocking(a.get(), true));
  TRY(SetNonblocking(b.get(), true));
  std::shared_ptr<Relay> relay(new Relay(loop, std::move(a), std::move(b), std::move(on_end)));
  relay->self_ = relay;
  relay->Watch();
  return relay;
}

Relay::~Relay() {
  for (int i : {0, 1})
    if (watched_[i] != 0) loop_.RemoveFd(ends_[i].get());
}

// Exactly what can go on is watched: a socket that hung up would wake a level-triggered loop for
// ever otherwise.
void Relay::Watch() {
  for (int i : {0, 1}) {
    const Direction& out = directions_[i];
    const Direction& in = directions_[1 - i];
    uint32_t wanted = 0;
    if (!ended_ && !out.source_ended && out.pending.empty()) wanted |= EPOLLIN;
    if (!ended_ && !in.pending.empty()) wanted |= EPOLLOUT;
    if (wanted == watched_[i]) continue;
    if (watched_[i] != 0) loop_.RemoveFd(ends_[i].get());
    watched_[i] = wanted;
    if (wanted == 0) continue;
    auto status = loop_.AddFd(ends_[i].get(), wanted, [this, i](uint32_t) {
      auto keep = shared_from_this();
      // Which of the two is not asked: what cannot go on says so itself.
      Move(i);
      Move(1 - i);
      Watch();
    });
    if (!status) {
      watched_[i] = 0;
      log::Error("relay: {}", status.error().message());
      return Abort();
    }
  }
}

void Relay::Move(int from) {
  for (int turn = 0; turn < kTurns && !ended_ && MoveOnce(from); ++turn) {
  }
}

bool Relay::MoveOnce(int from) {
  // One buffer for all: it is used between a read and its write only.
  static thread_local char buffer[kBufferBytes];
  Direction& way = directions_[from];
  const int source = ends_[from].get();
  const int sink = ends_[1 - from].get();
  if (way.done) return false;
  if (!way.pending.empty()) {
    const ssize_t n =
        send(sink, way.pending.data() + way.sent, way.pending.size() - way.sent, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (n < 0) return Abort(), false;
    way.sent += static_cast<size_t>(n);
    if (way.sent < way.pending.size()) return false;
    way.pending = {};  // and its memory: an idle relay has none
    way.sent = 0;
    return true;
  }
  if (way.source_ended) {
    way.done = true;
    shutdown(sink, SHUT_WR);
    // Who closed its socket, and not only its half of it, takes nothing either.
    if (directions_[1 - from].done || HungUp(source)) Abort();
    return false;
  }
  const ssize_t n = read(source, buffer, sizeof buffer);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (n < 0) return Abort(), false;
  if (n == 0) {
    way.source_ended = true;
    return true;
  }
  const auto size = static_cast<size_t>(n);
  const ssize_t written = send(sink, buffer, size, MSG_NOSIGNAL);
  if (written < 0 && errno != EAGAIN && errno != EINTR) return Abort(), false;
  const size_t taken = written < 0 ? 0 : static_cast<size_t>(written);
  if (taken == size) return true;
  way.pending.assign(buffer + taken, size - taken);
  return false;
}

void Relay::Abort() {
  if (ended_) return;
  auto keep = shared_from_this();
  ended_ = true;
  Watch();
  ends_[0].Reset();
  ends_[1].Reset();
  loop_.Post([self = std::move(self_), on_end = std::move(on_end_)] {
    if (on_end) on_end();
  });
}

}  // namespace holt::base
