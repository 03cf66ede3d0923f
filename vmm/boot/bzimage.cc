// bzImage, by the 64-bit boot protocol (Documentation/arch/x86/boot.rst).
#include <asm/bootparam.h>

#include <bit>
#include <cstddef>
#include <cstring>

#include "vmm/boot/kernel.h"

namespace holt::vmm {

using base::Code;
using base::MakeError;
using base::Result;

namespace {

constexpr uint64_t kSetupHeaderOffset = 0x1f1;
constexpr uint64_t kSectorBytes = 512;
constexpr uint16_t kBootFlag = 0xaa55;
constexpr uint32_t kHeaderMagic = 0x53726448;  // "HdrS"
constexpr uint16_t kMinVersion = 0x20c;        // xloadflags
constexpr uint64_t kEntry64Offset = 0x200;
// Enough for any alignment that a kernel has (CONFIG_PHYSICAL_ALIGN is at most 16 MiB).
constexpr uint64_t kMaxAlignment = 16 * kMiB;

base::Error NotAKernel(std::string_view why) {
  return MakeError(Code::kInvalidArgument, "not a kernel: {}", why);
}

}  // namespace

Result<LoadedKernel> LoadBzImage(int fd, uint64_t file_bytes, const GuestMemory& memory,
                                 const GuestLayout& layout) {
  setup_header header{};
  if (file_bytes < kSetupHeaderOffset + sizeof header)
    return NotAKernel("neither an ELF file nor a bzImage");
  TRY(ReadExactly(fd, kSetupHeaderOffset, std::as_writable_bytes(std::span(&header, 1))));
  if (header.boot_flag != kBootFlag || header.header != kHeaderMagic)
    return NotAKernel("neither an ELF file nor a bzImage");
  if (header.version < kMinVersion || (header.xloadflags & XLF_KERNEL_64) == 0 ||
      (header.loadflags & LOADED_HIGH) == 0)
    return NotAKernel("a bzImage without a 64-bit entry point");

  // 0 stands for 4, for compatibility.
  const uint64_t setup_sectors = header.setup_sects == 0 ? 4 : header.setup_sects;
  const uint64_t payload_offset = (setup_sectors + 1) * kSectorBytes;
  if (payload_offset >= file_bytes) return NotAKernel("a bzImage that was cut short");
  const uint64_t payload_bytes = file_bytes - payload_offset;
  const uint64_t start = header.pref_address;
  if (!std::has_single_bit(header.kernel_alignment) || header.kernel_alignment > kMaxAlignment ||
      start % header.kernel_alignment != 0)
    return NotAKernel("a bzImage with an impossible alignment");
  // init_size covers unpacking in place, bss and early page tables.
  if (header.init_size < payload_bytes) return NotAKernel("a bzImage that is larger than it says");
  TRY(CheckKernelFits(start, header.init_size, layout));

  LoadedKernel kernel;
  kernel.protocol = LoadedKernel::Protocol::kLinux64;
  kernel.entry = start + kEntry64Offset;
  kernel.end = start + header.init_size;
  kernel.initramfs_last = header.initrd_addr_max;
  kernel.setup_header.assign(reinterpret_cast<const char*>(&header), sizeof header);
  TRY_CONTEXT(ReadIntoGuest(fd, payload_offset, payload_bytes, memory, GuestAddr(start)), "kernel");
  return kernel;
}

}  // namespace holt::vmm
