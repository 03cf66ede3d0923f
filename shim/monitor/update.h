#pragma once

#include <cstdint>

#include "base/result.h"
#include "oci/runtime_spec.h"

// `update`: limits of a container that exists. Values depend on one another and on the machine,
// which does not grow.
namespace holt::shim {

// `update` with what the kernel needs beside it filled in from `current`, as runc does: the limit
// that a swap limit is the sum with, and the other half of quota and period. A memory limit that is
// taken away takes that of swap along.
oci::Resources CompleteUpdate(const oci::Resources& current, oci::Resources update);

// `current` with all that `update` names.
oci::Resources MergeResources(oci::Resources current, const oci::Resources& update);

// kResourceExhausted, with the property's name, when a machine of this size cannot give that.
base::Status CheckFits(const oci::Resources& update, uint64_t machine_bytes, uint32_t vcpus);

}  // namespace holt::shim
