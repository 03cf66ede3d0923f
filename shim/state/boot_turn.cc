#include "shim/state/boot_turn.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "shim/state/byte_lock.h"

namespace holt::shim {

size_t BootTurn::Places() {
  return 2 * static_cast<size_t>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
}

base::Result<std::optional<BootTurn>> BootTurn::Try(const std::string& file, size_t places) {
  TRY_ASSIGN(base::UniqueFd lock, base::Open(file, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  for (size_t place = 0; place < places; ++place) {
    TRY_ASSIGN(bool taken, TryLockByte(lock.get(), static_cast<off_t>(place)));
    if (taken) return std::optional(BootTurn(std::move(lock)));
  }
  return std::optional<BootTurn>();
}

}  // namespace holt::shim
