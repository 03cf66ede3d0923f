#include "vmm/devices/blk_ring.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <array>

namespace holt::vmm {

using base::Result;
using base::Status;

namespace {

base::Error RingError(int result, std::string_view what) {
  if (result == -ENOSYS || result == -EPERM)
    return base::ErrnoError(-result,
                            "io_uring, which block devices need: the host's kernel has none or "
                            "forbids it (sysctl kernel.io_uring_disabled)");
  return base::ErrnoError(-result, fmt::format("io_uring: {}", what));
}

io_uring_restriction AllowOperation(uint8_t operation) {
  io_uring_restriction rule{};
  rule.opcode = IORING_RESTRICTION_SQE_OP;
  rule.sqe_op = operation;
  return rule;
}

io_uring_restriction SqeFlags(uint16_t kind) {
  io_uring_restriction rule{};
  rule.opcode = kind;
  rule.sqe_flags = IOSQE_FIXED_FILE;
  return rule;
}

}  // namespace

Result<std::unique_ptr<BlkRing>> BlkRing::Create(int fd, unsigned entries) {
  std::unique_ptr<BlkRing> ring(new BlkRing());
  TRY(ring->SetUp(fd, entries));
  return ring;
}

Status BlkRing::SetUp(int fd, unsigned entries) {
  event_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event_) return HOLT_ERRNO("eventfd");
  int result = io_uring_queue_init(entries, &ring_, IORING_SETUP_R_DISABLED);
  if (result != 0) return RingError(result, "make a ring");
  made_ = true;
  result = io_uring_register_files(&ring_, &fd, 1);
  if (result != 0) return RingError(result, "register the device");
  result = io_uring_register_eventfd(&ring_, event_.get());
  if (result != 0) return RingError(result, "register an eventfd");
  // Not one more file, buffer or kind of operation can be registered from here on either.
  std::array<io_uring_restriction, 6> rules = {
      AllowOperation(IORING_OP_READV),
      AllowOperation(IORING_OP_WRITEV),
      AllowOperation(IORING_OP_FSYNC),
      AllowOperation(IORING_OP_FALLOCATE),
      SqeFlags(IORING_RESTRICTION_SQE_FLAGS_ALLOWED),
      SqeFlags(IORING_RESTRICTION_SQE_FLAGS_REQUIRED),
  };
  result = io_uring_register_restrictions(&ring_, rules.data(), rules.size());
  if (result != 0) return RingError(result, "restrict the ring");
  result = io_uring_enable_rings(&ring_);
  if (result != 0) return RingError(result, "enable the ring");
  return {};
}

BlkRing::~BlkRing() {
  if (made_) io_uring_queue_exit(&ring_);
}

io_uring_sqe* BlkRing::Next() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  // The ring has an entry for each that may be in flight.
  HOLT_CHECK(sqe != nullptr);
  return sqe;
}

void BlkRing::Finish(io_uring_sqe* sqe, uint64_t tag) {
  sqe->flags = IOSQE_FIXED_FILE;
  sqe->user_data = tag;
}

void BlkRing::Read(std::span<const iovec> buffers, uint64_t offset, uint64_t tag) {
  io_uring_sqe* sqe = Next();
  io_uring_prep_readv(sqe, 0, buffers.data(), static_cast<unsigned>(buffers.size()), offset);
  Finish(sqe, tag);
}

void BlkRing::Write(std::span<const iovec> buffers, uint64_t offset, uint64_t tag) {
  io_uring_sqe* sqe = Next();
  io_uring_prep_writev(sqe, 0, buffers.data(), static_cast<unsigned>(buffers.size()), offset);
  Finish(sqe, tag);
}

void BlkRing::Flush(uint64_t tag) {
  io_uring_sqe* sqe = Next();
  io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
  Finish(sqe, tag);
}

void BlkRing::Allocate(int mode, uint64_t offset, uint64_t bytes, uint64_t tag) {
  io_uring_sqe* sqe = Next();
  // The C library's type is signed; offsets are below the size of a file.
  io_uring_prep_fallocate(sqe, 0, mode, static_cast<off_t>(offset), static_cast<off_t>(bytes));
  Finish(sqe, tag);
}

bool BlkRing::Submit() {
  while (io_uring_sq_ready(&ring_) > 0) {
    const int result = io_uring_submit(&ring_);
    if (result == -EINTR) continue;
    if (result <= 0) return false;
  }
  return true;
}

void BlkRing::Reap(const std::function<void(uint64_t tag, int result)>& done) {
  uint64_t count = 0;
  const ssize_t ignored = read(event_.get(), &count, sizeof count);
  (void)ignored;
  io_uring_cqe* cqe = nullptr;
  while (io_uring_peek_cqe(&ring_, &cqe) == 0) {
    const uint64_t tag = cqe->user_data;
    const int result = cqe->res;
    io_uring_cqe_seen(&ring_, cqe);
    done(tag, result);
  }
}

void BlkRing::Wait() {
  io_uring_cqe* cqe = nullptr;
  while (io_uring_wait_cqe(&ring_, &cqe) == -EINTR) {
  }
}

}  // namespace holt::vmm
