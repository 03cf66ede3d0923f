#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/memory/layout.h"

// Kernels as files. A file is whatever a user named: nothing in it is believed.
namespace holt::vmm {

struct LoadedKernel {
  enum class Protocol {
    kPvh,      // vmlinux with an ELF note for a 32-bit entry point (Xen's docs/misc/pvh.pandoc)
    kLinux64,  // bzImage, 64-bit boot protocol (Documentation/arch/x86/boot.rst)
  };
  Protocol protocol = Protocol::kPvh;
  uint64_t entry = 0;
  // The first byte that the kernel, its decompressor and its bss leave free.
  uint64_t end = 0;
  // kLinux64: the file's setup header, to be filled in and handed back to the kernel.
  std::string setup_header;
  // kLinux64: the last byte that the initramfs may use.
  uint64_t initramfs_last = UINT32_MAX;
};

// Copies the kernel in `fd` (a plain file) to where it wants to be. Errors: "not a kernel: ..." and
// "kernel does not fit in 8 MiB of memory: needs at least 52 MiB".
base::Result<LoadedKernel> LoadKernel(int fd, const GuestMemory& memory, const GuestLayout& layout);

// The two formats, for LoadKernel and for tests. `file_bytes` is the size of the file.
base::Result<LoadedKernel> LoadVmlinux(int fd, uint64_t file_bytes, const GuestMemory& memory,
                                       const GuestLayout& layout);
base::Result<LoadedKernel> LoadBzImage(int fd, uint64_t file_bytes, const GuestMemory& memory,
                                       const GuestLayout& layout);

// Exactly `bytes` from `offset` of the file into the guest.
base::Status ReadIntoGuest(int fd, uint64_t offset, uint64_t bytes, const GuestMemory& memory,
                           GuestAddr address);
// Exactly `out.size()` bytes from `offset` of the file; kDataLoss if it ends before.
base::Status ReadExactly(int fd, uint64_t offset, std::span<std::byte> out);
// An error unless [start, start + bytes) is low memory above the first MiB.
base::Status CheckKernelFits(uint64_t start, uint64_t bytes, const GuestLayout& layout);

}  // namespace holt::vmm
