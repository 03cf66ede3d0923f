#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace holt::guest_agent {

// The file to execute for `name`, looked up in PATH of `environment` when it has no slash. Errors
// in the words that engines look for: kNotFound ("executable file not found in $PATH", "no such
// file or directory", "not a directory") is status 127, kPermissionDenied ("permission denied", "is
// a directory") is 126.
base::Result<std::string> FindProgram(const std::string& name,
                                      const std::vector<std::string>& environment);

// The error of execve(2) in the same words.
base::Error ExecError(int err, const std::string& name);

}  // namespace holt::guest_agent
