#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "oci/runtime_spec.h"

namespace holt::shim {

// The capabilities that a container's root has unless it is told otherwise: Docker's set.
std::vector<std::string> DefaultCapabilities();

// --cap-add and --cap-drop applied to the default set: "NET_ADMIN", "CAP_NET_ADMIN" or "ALL", any
// case. What is added wins over what is dropped, ALL aside: `--cap-drop ALL --cap-add CHOWN` leaves
// CHOWN. The result is sorted by number.
base::Result<std::vector<std::string>> ResolveCapabilities(const std::vector<std::string>& add,
                                                           const std::vector<std::string>& drop);

// As a process' five sets, the way Docker gives them: nothing inheritable and nothing ambient.
oci::Capabilities CapabilitySets(const std::vector<std::string>& names);

}  // namespace holt::shim
