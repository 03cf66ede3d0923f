#pragma once

#include <liburing.h>
#include <sys/uio.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holt::vmm {

// An io_uring that can do nothing but read, write, flush and deallocate in one file: the kernel is
// told so before the ring is used (IORING_REGISTER_RESTRICTIONS), because what goes through a ring
// passes by seccomp. Running it takes no system call but io_uring_enter.
//
// One thread. Who uses it keeps what operations point to until they are done.
class BlkRing {
 public:
  // `fd` is borrowed for this call (the ring keeps the file); `entries` is the most that is ever in
  // flight. The error of a host that has no io_uring, or forbids it, says so.
  static base::Result<std::unique_ptr<BlkRing>> Create(int fd, unsigned entries);
  // Runs a ring that another process made (SpareRing), whose file it chooses, and that nobody has
  // run before. `parameters` are SpareRing's.
  static base::Result<std::unique_ptr<BlkRing>> Adopt(base::UniqueFd ring,
                                                      std::string_view parameters);
  ~BlkRing();
  BlkRing(const BlkRing&) = delete;
  BlkRing& operator=(const BlkRing&) = delete;

  // Readable when something is done. Borrowed.
  // A spare ring itself: one more descriptor would have to come along. The kernel lets go of a ring
  // that was polled later than of another when its process is killed.
  int event_fd() const { return event_ ? event_.get() : ring_.ring_fd; }

  // Prepare an operation, known by `tag`; Submit() passes it on.
  void Read(std::span<const iovec> buffers, uint64_t offset, uint64_t tag);
  void Write(std::span<const iovec> buffers, uint64_t offset, uint64_t tag);
  void Flush(uint64_t tag);
  // `mode`: of fallocate(2).
  void Allocate(int mode, uint64_t offset, uint64_t bytes, uint64_t tag);

  // False: the kernel cannot take everything now; to be called again later.
  bool Submit();
  // Tells of every operation that is done: bytes or a negative errno. Operations may be prepared in
  // `done`.
  void Reap(const std::function<void(uint64_t tag, int result)>& done);
  // Sleeps until something is done. Only when something is in flight.
  void Wait();

  // For tests of what it cannot do.
  io_uring& raw() { return ring_; }

 private:
  BlkRing() = default;
  io_uring_sqe* Next();
  static void Finish(io_uring_sqe* sqe, uint64_t tag);

  io_uring ring_{};
  bool made_ = false;
  base::UniqueFd event_;  // of a ring made here
};

// Makes `ring` as described above, and `parameters` of it; `event` is written to when something is
// done. `file` is -1, and `event` too, where files are registered
// later: then that, and taking them away, is all that can be. After an error there is no ring.
base::Status MakeRestrictedRing(int file, int event, unsigned entries, io_uring& ring,
                                io_uring_params& parameters);

}  // namespace holt::vmm
