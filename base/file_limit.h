#pragma once

#include <cstddef>

#include "base/result.h"

namespace holt::base {

// Raises how many files this process may have open, and the limit that its children start with, to
// `wanted`, or as near to that as the hard limit and our privileges let us; never lowers it.
// Returns what it is now.
Result<size_t> RaiseFileLimit(size_t wanted);

}  // namespace holt::base
