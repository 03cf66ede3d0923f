#pragma once

#include <string>
#include <vector>

#include "oci/runtime_spec.h"

namespace holt::shim {

// The filter of containers that `holt run` makes: Docker's default allow-list for x86-64 and i386.
// System calls that belong to a capability are allowed to whom has it (`capabilities`, "CAP_…").
// What the list does not know is ENOSYS, so that newer C libraries fall back; what it refuses is
// EPERM.
oci::Seccomp DefaultSeccomp(const std::vector<std::string>& capabilities);

}  // namespace holt::shim
