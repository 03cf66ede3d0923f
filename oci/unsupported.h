#pragma once

#include "base/result.h"
#include "oci/runtime_spec.h"

// Which properties that a valid config.json sets holt cannot honour yet. Each is an error that
// names the property (kUnsupported), never a silent drop. A property is taken out of here in the
// change that makes it work.
namespace holt::oci {

// What the guest's container engine cannot do.
base::Status CheckGuestSupport(const Config& config);
base::Status CheckGuestSupport(const Process& process);
base::Status CheckGuestSupport(const Resources& resources);

// What the host side cannot do: hooks, network namespaces, `vm`, Intel RDT and the like.
base::Status CheckHostSupport(const Config& config);

// Both.
base::Status CheckSupported(const Config& config);

}  // namespace holt::oci
