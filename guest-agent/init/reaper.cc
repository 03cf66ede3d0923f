#include "guest-agent/init/reaper.h"

#include <signal.h>
#include <sys/wait.h>

namespace holt::guest_agent {

base::Status Reaper::Start() {
  return loop_.AddSignals({SIGCHLD}, [this](int) { ReapAll(); });
}

void Reaper::Watch(pid_t pid, std::function<void(int)> callback) {
  watched_[pid] = std::move(callback);
}

void Reaper::ReapAll() {
  int status = 0;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0;) {
    auto node = watched_.extract(pid);
    if (!node.empty()) node.mapped()(status);
  }
}

}  // namespace holt::guest_agent
