#pragma once

#include <signal.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holt::base {

// One epoll loop per process (or per worker that owns its queue). Not thread-safe except Post() and
// Stop(). Callbacks may add and remove watches, their own included.
class EventLoop {
 public:
  using FdCallback = std::function<void(uint32_t epoll_events)>;
  using Callback = std::function<void()>;
  using Clock = std::chrono::steady_clock;
  using TimerId = uint64_t;

  static Result<std::unique_ptr<EventLoop>> Create();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Watches `fd` (borrowed: remove the watch before closing it) for EPOLLIN|EPOLLOUT|… in `events`,
  // level-triggered. EPOLLHUP and EPOLLERR are always delivered. One watch per fd.
  Status AddFd(int fd, uint32_t events, FdCallback callback);
  // Changes the events of a watch; 0 keeps the watch but delivers only HUP and ERR.
  Status ModifyFd(int fd, uint32_t events);
  // A pending callback of the removed watch is not called any more. Unknown fds are ignored.
  void RemoveFd(int fd);

  // Calls once after `delay`.
  TimerId AddTimer(std::chrono::nanoseconds delay, Callback callback);
  void CancelTimer(TimerId id);

  // Runs `callback` in the loop's thread, after the current callback. Thread-safe.
  void Post(Callback callback);

  // Blocks `signals` for the calling thread and delivers them to `callback` (the signal number).
  Status AddSignals(const std::vector<int>& signals, std::function<void(int)> callback);

  // Calls once with the wait status when the child `pid` ends, and reaps it.
  Status AddChild(pid_t pid, std::function<void(int wait_status)> callback);

  // Runs until Stop().
  void Run();
  // Waits at most `timeout` (negative: for ever), dispatches what is ready, returns.
  void RunOnce(std::chrono::nanoseconds timeout);
  // Thread-safe; Run() returns after the current callback.
  void Stop();

 private:
  struct Watch {
    FdCallback callback;
    uint64_t generation;
  };
  struct Timer {
    TimerId id;
    Callback callback;
  };

  EventLoop(UniqueFd epoll, UniqueFd wakeup)
      : epoll_(std::move(epoll)), wakeup_(std::move(wakeup)) {}
  void RunPosted();
  void RunTimers();
  int TimeoutMs(std::chrono::nanoseconds timeout) const;

  UniqueFd epoll_;
  UniqueFd wakeup_;
  UniqueFd signal_fd_;
  std::map<int, std::shared_ptr<Watch>> watches_;
  std::map<std::pair<Clock::time_point, TimerId>, Callback> timers_;
  std::map<TimerId, Clock::time_point> timer_deadlines_;
  TimerId next_timer_ = 1;
  uint64_t next_generation_ = 1;
  bool stopped_ = false;
  std::mutex posted_mutex_;
  std::vector<Callback> posted_;  // guarded by posted_mutex_
};

}  // namespace holt::base
