#pragma once

#include "base/result.h"
#include "base/unique_fd.h"
#include "oci/runtime_spec.h"

namespace holt::shim::network {

// The network namespace that config.json (linux.namespaces) asks for: the one at its path, or a new
// one. kUnsupported when it asks for the host's, or for one that another machine has.
base::Result<base::UniqueFd> NamespaceOf(const oci::Config& config);

}  // namespace holt::shim::network
