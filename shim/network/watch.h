#pragma once

#include <functional>
#include <memory>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace holt::shim::network {

// Tells that something has changed in a network namespace: links, addresses, routes, neighbours or
// rules. What it is, a scan tells; several changes are told as one.
//
// Whoever may configure the namespace may do so all the time. The kernel's notices are thrown away
// unread, and between two calls at least kPause and ten times as long as the last one took go by:
// a flood costs a tenth of the loop's time at most.
class Watch {
 public:
  using OnChange = std::function<void()>;
  static base::Result<std::unique_ptr<Watch>> Create(base::EventLoop& loop, int network_namespace,
                                                     OnChange on_change);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // An engine that adds an interface makes several changes, one right after the other.
  static constexpr std::chrono::milliseconds kPause{20};

 private:
  Watch(base::EventLoop& loop, base::UniqueFd socket, OnChange on_change)
      : loop_(loop), socket_(std::move(socket)), on_change_(std::move(on_change)) {}
  void OnNotice();
  void OnTimer();

  base::EventLoop& loop_;
  base::UniqueFd socket_;
  OnChange on_change_;
  base::EventLoop::TimerId timer_ = 0;
  std::chrono::nanoseconds pause_ = kPause;
};

}  // namespace holt::shim::network
