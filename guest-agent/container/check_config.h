#pragma once

#include <string>

#include "base/result.h"
#include "oci/runtime_spec.h"

namespace holt::guest_agent {

// Names of containers and of exec'd processes: 1 to 255 letters, digits, '_', '-', '.', '+',
// beginning with a letter or a digit. They become directories of cgroups.
base::Status CheckId(const std::string& what, const std::string& id);

// Whether a container can be made of a valid configuration: what oci/unsupported.h says, and what
// this engine takes for granted (a process, a root, pid and mount namespaces of its own). Errors
// name the property.
base::Status CheckConfig(const oci::Config& config);

}  // namespace holt::guest_agent
