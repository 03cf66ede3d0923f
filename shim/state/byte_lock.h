#pragma once

#include <sys/types.h>

#include "base/result.h"

namespace holt::shim {

// Locks byte `index` of the open file for this open file description (fcntl(2), F_OFD_SETLK), if
// nobody has it; false when somebody does. The kernel takes it back when the last descriptor is
// closed, whoever dies.
base::Result<bool> TryLockByte(int fd, off_t index);

}  // namespace holt::shim
