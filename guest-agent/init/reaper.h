#pragma once

#include <sys/types.h>

#include <functional>
#include <map>

#include "base/event_loop.h"
#include "base/result.h"

namespace holt::guest_agent {

// The one place that waits for children: those somebody asked about, and orphans, which process 1
// inherits.
class Reaper {
 public:
  explicit Reaper(base::EventLoop& loop) : loop_(loop) {}
  Reaper(const Reaper&) = delete;
  Reaper& operator=(const Reaper&) = delete;

  // Takes SIGCHLD over.
  base::Status Start();
  // Calls once with the wait status when the child `pid` has ended. Ask before the loop goes on
  // after the fork.
  void Watch(pid_t pid, std::function<void(int wait_status)> callback);
  void Forget(pid_t pid) { watched_.erase(pid); }
  // Reaps what has ended.
  void ReapAll();

 private:
  base::EventLoop& loop_;
  std::map<pid_t, std::function<void(int)>> watched_;
};

}  // namespace holt::guest_agent
