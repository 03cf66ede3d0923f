#pragma once

#include "oci/runtime_spec.h"

namespace holt::shim {

// A configuration to begin with, as runc's `spec` writes it: a shell on a terminal, in a root file
// system `rootfs` that is read-only.
oci::Config BundleTemplate();

}  // namespace holt::shim
