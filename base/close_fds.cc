#include "base/close_fds.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace holt::base {

void CloseAllBut(std::vector<int> keep) {
  std::erase_if(keep, [](int fd) { return fd < 0; });
  std::sort(keep.begin(), keep.end());
  unsigned first = 3;
  for (int fd : keep) {
    const auto number = static_cast<unsigned>(fd);
    if (number > first) syscall(SYS_close_range, first, number - 1, 0);
    first = std::max(first, number + 1);
  }
  syscall(SYS_close_range, first, ~0U, 0);
}

}  // namespace holt::base
