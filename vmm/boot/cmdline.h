#pragma once

#include <string>

namespace holt::vmm {

enum class CpuBackEnd { kKvm, kSoftware };

// The kernel parameters that our machines want, whatever runs in them: console, clocks, what to
// skip at boot, and how to end so that the reason is seen. The monitor adds its own (holt.*) after
// a space.
std::string BaseKernelCmdline(CpuBackEnd back_end);

}  // namespace holt::vmm
