#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace holt::base {

// Joins two stream sockets: what comes in at one goes out at the other, both ways, until both have
// ended. The end of one direction is passed on as a half-close; a socket that broke, or was closed
// whole, ends both. At most
// one buffer (64 KiB) is on the way in each direction: a side that does not take it is not read
// for. Keeps itself alive until it has ended.
class Relay : public std::enable_shared_from_this<Relay> {
 public:
  // Takes both; they are made nonblocking. `on_end` is called once, from the loop.
  static Result<std::shared_ptr<Relay>> Start(EventLoop& loop, UniqueFd a, UniqueFd b,
                                              std::function<void()> on_end = nullptr);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  // Ends now; what is on the way is lost.
  void Abort();

  static constexpr size_t kBufferBytes = 64 << 10;

 private:
  // From ends_[i] to ends_[1 - i].
  struct Direction {
    std::string pending;
    size_t sent = 0;
    bool source_ended = false;
    bool done = false;  // and the sink was told
  };
  Relay(EventLoop& loop, UniqueFd a, UniqueFd b, std::function<void()> on_end)
      : loop_(loop), on_end_(std::move(on_end)) {
    ends_[0] = std::move(a);
    ends_[1] = std::move(b);
  }
  void Move(int from);
  // False when nothing more can be done now.
  bool MoveOnce(int from);
  void Watch();

  EventLoop& loop_;
  UniqueFd ends_[2];
  uint32_t watched_[2] = {0, 0};
  Direction directions_[2];
  std::function<void()> on_end_;
  std::shared_ptr<Relay> self_;
  bool ended_ = false;
};

}  // namespace holt::base
