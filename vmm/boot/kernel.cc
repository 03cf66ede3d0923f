#include "vmm/boot/kernel.h"

#include <elf.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstring>

namespace holt::vmm {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

Status ReadExactly(int fd, uint64_t offset, std::span<std::byte> out) {
  while (!out.empty()) {
    ssize_t n = pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return HOLT_ERRNO("read");
    if (n == 0) return MakeError(Code::kDataLoss, "the file ends at byte {}", offset);
    out = out.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

Status ReadIntoGuest(int fd, uint64_t offset, uint64_t bytes, const GuestMemory& memory,
                     GuestAddr address) {
  TRY_ASSIGN(GuestSlice slice, memory.Slice(address, bytes));
  uint64_t done = 0;
  while (done < bytes) {
    iovec iov = slice.Sub(done, bytes - done).AsIovec();
    ssize_t n = preadv(fd, &iov, 1, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return HOLT_ERRNO("read");
    if (n == 0) return MakeError(Code::kDataLoss, "the file ends at byte {}", offset + done);
    done += static_cast<uint64_t>(n);
  }
  return {};
}

Status CheckKernelFits(uint64_t start, uint64_t bytes, const GuestLayout& layout) {
  uint64_t end = 0;
  if (start < kHighMemoryStart || __builtin_add_overflow(start, bytes, &end) || end > kHoleStart)
    return MakeError(Code::kInvalidArgument, "not a kernel: it wants {:#x} bytes at address {:#x}",
                     bytes, start);
  if (end > layout.low_bytes)
    return MakeError(Code::kResourceExhausted,
                     "kernel does not fit in {} MiB of memory: needs at least {} MiB",
                     (layout.low_bytes + layout.high_bytes) / kMiB, (end + kMiB - 1) / kMiB);
  return {};
}

Result<LoadedKernel> LoadKernel(int fd, const GuestMemory& memory, const GuestLayout& layout) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return HOLT_ERRNO("kernel");
  if (!S_ISREG(status.st_mode))
    return MakeError(Code::kInvalidArgument, "not a kernel: not a plain file");
  const auto bytes = static_cast<uint64_t>(status.st_size);
  std::array<std::byte, SELFMAG> magic{};
  if (!ReadExactly(fd, 0, magic))
    return MakeError(Code::kInvalidArgument, "not a kernel: a file of {} bytes", bytes);
  if (std::memcmp(magic.data(), ELFMAG, SELFMAG) == 0)
    return LoadVmlinux(fd, bytes, memory, layout);
  return LoadBzImage(fd, bytes, memory, layout);
}

}  // namespace holt::vmm
