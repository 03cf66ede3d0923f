#pragma once

#include <stddef.h>

#include "base/unique_fd.h"

// The profile (process.apparmorProfile) that the stub has on the host.
namespace holt::stub {

// The kernel's file by which this process changes its profile, to be opened while the host's /proc
// is there. Invalid where the host's kernel has no AppArmor; `error` says so.
base::UniqueFd OpenProfile(char* error, size_t error_size);

// Confines this process by `name`, which the host has loaded; false with the reason otherwise.
bool EnterProfile(int file, const char* name, char* error, size_t error_size);

}  // namespace holt::stub
