#pragma once

#include "base/result.h"

namespace holt::vmm {

// Gives up what the process may still have: every capability (the bounding and ambient sets
// included), the means to gain some (no_new_privs), core dumps and being traced. The spawner has
// set the user id.
base::Status DropPrivileges();

// An error unless the process has no capability in any set that counts and no_new_privs is set.
base::Status CheckUnprivileged();

}  // namespace holt::vmm
