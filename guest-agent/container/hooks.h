#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "oci/runtime_spec.h"

namespace holt::guest_agent {

// Runs hooks one after the other in the calling process's namespaces, `state_json` on their
// standard input, what they print discarded. Blocks; for the container's first process only, never
// the agent. A hook that fails or outlives its timeout (it is killed) is an error naming it as
// `name`[i].
base::Status RunHooks(const std::vector<oci::Hook>& hooks, const std::string& name,
                      const std::string& state_json);

}  // namespace holt::guest_agent
