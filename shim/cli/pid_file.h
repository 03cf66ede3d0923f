#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace holt::shim::cli {

// The pid in decimal, without a newline, written aside and renamed: what engines wait for is whole.
// An empty path writes nothing.
base::Status WritePidFile(const std::string& path, pid_t pid);

}  // namespace holt::shim::cli
