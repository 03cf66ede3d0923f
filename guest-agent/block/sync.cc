#include "guest-agent/block/sync.h"

#include <unistd.h>

#include "guest-agent/init/aside.h"

namespace holt::guest_agent {

void SyncDisks(Reaper& reaper, const std::function<void()>& done) {
  auto write_back = [] {
    sync();
    return 0;
  };
  if (DoAside(reaper, write_back, [done](int) { done(); })) return;
  sync();
  done();
}

}  // namespace holt::guest_agent
