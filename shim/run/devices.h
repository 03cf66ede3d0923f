#pragma once

#include <string_view>

#include "base/result.h"
#include "oci/runtime_spec.h"

namespace holt::shim {

// A device of the host for a container: its node, and the rule that lets it be used.
struct GivenDevice {
  oci::Device node;
  oci::DeviceRule rule;
};

// What --device means: "HOST[:CONTAINER][:ACCESS]", ACCESS of r, w and m (all). HOST is a block
// device, or leads to one; mode and owner of its node are the host's. Errors say what was given and
// what is taken; the caller puts the flag's name in front.
base::Result<GivenDevice> ParseDevice(std::string_view text);

}  // namespace holt::shim
