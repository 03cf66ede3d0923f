#pragma once

#include "base/result.h"
#include "shim/cli/container_flags.h"
#include "shim/state/record.h"

namespace holt::shim::cli {

// The network of `holt run`, into `request`: passt's, unless --network none says otherwise. On a
// host that cannot have it there is none, with one line on stderr, and an error when it was asked
// for: by name, or by a published port. Errors name the port.
base::Status ChooseNetwork(const ContainerFlags& flags, Request& request);

}  // namespace holt::shim::cli
