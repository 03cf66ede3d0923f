#pragma once

#include <string>

#include "base/result.h"

namespace holt::guest_agent {

// Binds the calling process to the CPUs of `list` ("0-3,7"; empty: leaves it as it is). A list of
// which the machine, or the container's cpuset, has none is an error; `path` begins it.
base::Status SetAffinity(const std::string& list, const std::string& path);

}  // namespace holt::guest_agent
