#pragma once

#include "base/result.h"

namespace holt::guest_agent {

// Brings `lo` up; the kernel gives it 127.0.0.1/8 and ::1 then.
base::Status BringLoopbackUp();

}  // namespace holt::guest_agent
