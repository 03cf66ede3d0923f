#pragma once

#include <functional>

#include "base/result.h"
#include "guest-agent/init/reaper.h"

namespace holt::guest_agent {

// Does `work`, which may wait for long, in a process of its own, without any of our descriptors.
// Its result is the process's exit status; `done` is called with the wait status.
base::Status DoAside(Reaper& reaper, const std::function<int()>& work,
                     std::function<void(int wait_status)> done);

}  // namespace holt::guest_agent
