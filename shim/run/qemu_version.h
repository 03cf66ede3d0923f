#pragma once

#include <sys/types.h>

#include <compare>
#include <string>
#include <string_view>

#include "base/result.h"

namespace holt::shim {

struct QemuVersion {
  int major = 0;
  int minor = 0;
  auto operator<=>(const QemuVersion&) const = default;
};

// The first whose vCPUs can have a thread each. Before, a vCPU may go on with a translation of code
// that another one has changed meanwhile, and guests' kernels change theirs (docs/adr/0155).
inline constexpr QemuVersion kParallelQemu{8, 1};

// What `qemu` says with --version, run as `uid`.
base::Result<QemuVersion> QemuVersionOf(const std::string& qemu, uid_t uid);
// kInvalidArgument for what is not the beginning of that.
base::Result<QemuVersion> ParseQemuVersion(std::string_view text);

}  // namespace holt::shim
