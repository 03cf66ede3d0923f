#include "shim/state/byte_lock.h"

#include <fcntl.h>

namespace holt::shim {

base::Result<bool> TryLockByte(int fd, off_t index) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = index;
  lock.l_len = 1;
  if (fcntl(fd, F_OFD_SETLK, &lock) == 0) return true;
  if (errno == EAGAIN || errno == EACCES) return false;
  return HOLT_ERRNO("lock a byte");
}

}  // namespace holt::shim
