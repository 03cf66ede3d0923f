#pragma once

#include <vector>

namespace holt::base {

// Closes every descriptor from 3 on but `keep` (negative ones are ignored).
void CloseAllBut(std::vector<int> keep);

}  // namespace holt::base
