#pragma once

#include <functional>

#include "guest-agent/init/reaper.h"

namespace holt::guest_agent {

// Writes back what the guest's page cache holds (sync(2)), in a process of its own: a slow disk of
// the host's holds up nobody else. Calls `done` when it is all there.
void SyncDisks(Reaper& reaper, const std::function<void()>& done);

}  // namespace holt::guest_agent
