#pragma once

#include <string>

#include "base/result.h"

namespace holt::shim::network {

// Gives the interfaces of the network namespace at `path` back, when the monitor that had
// redirected them to its machine was killed: until then nothing that arrives there reaches anybody.
// Other machines' stay. A namespace that is gone, and "", are no error.
base::Status RemoveLeftovers(const std::string& path);

}  // namespace holt::shim::network
