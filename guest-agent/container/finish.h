#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "guest-agent/container/privileges.h"
#include "guest-agent/container/seccomp_filter.h"
#include "guest-agent/container/user_database.h"
#include "oci/runtime_spec.h"

namespace holt::guest_agent {

// What was looked up and compiled before the process was reported ready.
struct Prepared {
  ResolvedUser user;
  CapabilityMasks capabilities;
  std::optional<SeccompProgram> seccomp;
  std::vector<std::string> environment;
};

// What a process is limited to and scheduled by; takes the agent's privileges.
base::Status SetLimits(const oci::Process& process,
                       const std::optional<oci::Personality>& personality);

// The last steps in a set-up container: privileges, directory, filters, execve with `others` as 3
// and following. Returns only an error.
base::Error FinishAndExec(const oci::Process& process, const Prepared& prepared,
                          const std::vector<int>& others);

}  // namespace holt::guest_agent
