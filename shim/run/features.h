#pragma once

#include <string>

namespace holt::shim {

// What this runtime can do, as the "features" of the runtime specification (features.md), JSON on
// several lines. Nothing in it is a list of its own: every known value (oci/known_values.h) is put
// into a config.json and shown when the checks that `create` makes let it pass.
std::string DescribeFeatures();

}  // namespace holt::shim
