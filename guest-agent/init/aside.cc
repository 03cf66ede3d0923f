#include "guest-agent/init/aside.h"

#include <unistd.h>

#include <climits>

namespace holt::guest_agent {

base::Status DoAside(Reaper& reaper, const std::function<int()>& work,
                     std::function<void(int)> done) {
  // SAFETY: the agent has one thread, so a fork of it is a whole process (docs/adr/0041).
  const pid_t pid = fork();
  if (pid < 0) return HOLT_ERRNO("fork");
  if (pid == 0) {
    // A stream would not end as long as this has it, too.
    close_range(0, UINT_MAX, 0);
    _exit(work());
  }
  reaper.Watch(pid, std::move(done));
  return {};
}

}  // namespace holt::guest_agent
