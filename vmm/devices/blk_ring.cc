#include "vmm/devices/blk_ring.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstring>
#include <vector>

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

io_uring_restriction AllowRegister(uint8_t operation) {
  io_uring_restriction rule{};
  rule.opcode = IORING_RESTRICTION_REGISTER_OP;
  rule.register_op = operation;
  return rule;
}

io_uring_restriction SqeFlags(uint16_t kind) {
  io_uring_restriction rule{};
  rule.opcode = kind;
  rule.sqe_flags = IOSQE_FIXED_FILE;
  return rule;
}

}  // namespace

Status MakeRestrictedRing(int file, int event, unsigned entries, io_uring& ring,
                          io_uring_params& parameters) {
  parameters = {};
  parameters.flags = IORING_SETUP_R_DISABLED;
  int result = io_uring_queue_init_params(entries, &ring, &parameters);
  if (result != 0) return RingError(result, "make a ring");
  auto set_up = [&]() -> Status {
    if (file >= 0) {
      result = io_uring_register_files(&ring, &file, 1);
      if (result != 0) return RingError(result, "register the device");
      result = io_uring_register_eventfd(&ring, event);
      if (result != 0) return RingError(result, "register an eventfd");
    }
    // No buffer and no other kind of operation can be registered from here on either.
    std::vector<io_uring_restriction> rules = {
        AllowOperation(IORING_OP_READV),
        AllowOperation(IORING_OP_WRITEV),
        AllowOperation(IORING_OP_FSYNC),
        AllowOperation(IORING_OP_FALLOCATE),
        SqeFlags(IORING_RESTRICTION_SQE_FLAGS_ALLOWED),
        SqeFlags(IORING_RESTRICTION_SQE_FLAGS_REQUIRED),
    };
    if (file < 0) {
      rules.push_back(AllowRegister(IORING_REGISTER_FILES));
      rules.push_back(AllowRegister(IORING_UNREGISTER_FILES));
    }
    result =
        io_uring_register_restrictions(&ring, rules.data(), static_cast<unsigned>(rules.size()));
    if (result != 0) return RingError(result, "restrict the ring");
    result = io_uring_enable_rings(&ring);
    if (result != 0) return RingError(result, "enable the ring");
    return {};
  };
  Status status = set_up();
  if (!status) io_uring_queue_exit(&ring);
  return status;
}

Result<std::unique_ptr<BlkRing>> BlkRing::Create(int fd, unsigned entries) {
  HOLT_CHECK(fd >= 0);
  std::unique_ptr<BlkRing> ring(new BlkRing());
  ring->event_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!ring->event_) return HOLT_ERRNO("eventfd");
  io_uring_params parameters;
  TRY(MakeRestrictedRing(fd, ring->event_.get(), entries, ring->ring_, parameters));
  ring->made_ = true;
  return ring;
}

Result<std::unique_ptr<BlkRing>> BlkRing::Adopt(base::UniqueFd fd, std::string_view parameters) {
  io_uring_params known;
  if (!fd || parameters.size() != sizeof known)
    return base::MakeError(base::Code::kInvalidArgument, "io_uring: no ring to take over");
  std::memcpy(&known, parameters.data(), sizeof known);
  std::unique_ptr<BlkRing> ring(new BlkRing());
  const int result = io_uring_queue_mmap(fd.get(), &known, &ring->ring_);
  if (result != 0) return RingError(result, "map a ring");
  // As io_uring_queue_init_params does where it made the ring.
  ring->ring_.features = known.features;
  (void)fd.Release();
  ring->made_ = true;
  return ring;
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
  const ssize_t ignored = event_ ? read(event_.get(), &count, sizeof count) : 0;
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
