#include "vmm/devices/blk_spare_ring.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/devices/blk_ring.h"

namespace holt::vmm {

using base::Result;
using base::Status;

Result<SpareRing> SpareRing::Create(unsigned entries) {
  SpareRing spare;
  io_uring ring;
  io_uring_params parameters;
  TRY(MakeRestrictedRing(-1, -1, entries, ring, parameters));
  spare.fd_.Reset(fcntl(ring.ring_fd, F_DUPFD_CLOEXEC, 0));
  const int err = errno;
  // Only the mapping goes: it is the other process that runs it.
  io_uring_queue_exit(&ring);
  if (!spare.fd_) return base::ErrnoError(err, "io_uring: keep a ring");
  spare.parameters_.assign(reinterpret_cast<const char*>(&parameters), sizeof parameters);
  return spare;
}

Status SpareRing::SetFile(int file) const {
  if (syscall(SYS_io_uring_register, fd_.get(), IORING_REGISTER_FILES, &file, 1) != 0)
    return HOLT_ERRNO("io_uring: register the device");
  return {};
}

Status SpareRing::ClearFile() const {
  while (syscall(SYS_io_uring_register, fd_.get(), IORING_UNREGISTER_FILES, nullptr, 0) != 0)
    if (errno != EINTR) return HOLT_ERRNO("io_uring: take the device away");
  return {};
}

}  // namespace holt::vmm
