#include "guest-agent/block/sync.h"

#include <unistd.h>

#include <climits>

namespace holt::guest_agent {

void SyncDisks(Reaper& reaper, std::function<void()> done) {
  // SAFETY: the agent has one thread, so a fork of it is a whole process (docs/adr/0041).
  const pid_t pid = fork();
  if (pid < 0) {
    sync();
    return done();
  }
  if (pid == 0) {
    // A stream would not end as long as this has it, too.
    close_range(0, UINT_MAX, 0);
    sync();
    _exit(0);
  }
  reaper.Watch(pid, [done = std::move(done)](int) { done(); });
}

}  // namespace holt::guest_agent
