#pragma once

#include <unistd.h>

namespace holt {

// Looks until `condition` holds; false when that takes ten seconds.
template <typename Condition>
bool Eventually(const Condition& condition) {
  for (int i = 0; i < 400; ++i) {
    if (condition()) return true;
    usleep(25'000);
  }
  return false;
}

}  // namespace holt
