#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "oci/runtime_spec.h"

namespace holt::guest_agent {

// Moves the calling process into a new time namespace whose clocks differ from the guest's by
// `offsets` (linux.timeOffsets: "monotonic", "boottime"; time_namespaces(7)). `proc` is a procfs
// that the container cannot have changed. What the process forks afterwards is in it, too.
base::Status EnterTimeNamespace(int proc, const std::map<std::string, oci::TimeOffset>& offsets);

}  // namespace holt::guest_agent
