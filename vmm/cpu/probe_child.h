#pragma once

#include <chrono>

#include "base/result.h"
#include "vmm/cpu/probe_guest.h"

namespace holt::vmm {

// Runs `guest` on `device` in a child process and returns what it found, in bounded time: at the
// deadline the child is killed, and one that even then hangs in the kernel is left to init. `guest`
// must be async-signal-safe: this process may have threads.
base::Result<ProbeResult> RunBounded(ProbeResult (*guest)(int device), int device,
                                     std::chrono::milliseconds deadline);

}  // namespace holt::vmm
