#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "oci/runtime_spec.h"

namespace holt::shim::network {

// linux.netDevices (runtime-spec 1.3): moves interfaces of the calling thread's network namespace
// into the container's, under the names given there ("%d" is a free number), keeps their permanent
// global addresses and sets them up. They are then found at start like whatever else is in it.
// Nobody moves them back: when the namespace goes, the kernel returns a physical one and destroys a
// virtual one.
//
// kNotFound for an interface that is not there, kAlreadyExists for a name that is taken,
// kInvalidArgument when both namespaces are the same; the error names the entry, and what came
// before it in the map stays moved.
base::Status MoveNetDevices(const std::map<std::string, oci::NetDevice>& devices,
                            int network_namespace);

}  // namespace holt::shim::network
