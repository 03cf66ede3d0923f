#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "vmm/memory/guest_memory.h"

// Where what is in a guest's physical address space, for machines whose bus is ours (KVM).
namespace holt::vmm {

inline constexpr uint64_t kMiB = 1 << 20;
inline constexpr uint64_t kGiB = 1ull << 30;

// Devices live in the last GiB below 4 GiB; memory goes on above it.
inline constexpr uint64_t kHoleStart = 3 * kGiB;
inline constexpr uint64_t kHoleEnd = 4 * kGiB;

// A page for each virtio-mmio device.
inline constexpr uint64_t kVirtioMmioStart = 0xd0000000;
inline constexpr uint64_t kVirtioMmioStride = 0x1000;
inline constexpr uint64_t kIoApicAddress = 0xfec00000;
inline constexpr uint64_t kLocalApicAddress = 0xfee00000;
// Four pages that KVM wants for itself on some processors (api.rst, 4.41 and 4.78).
inline constexpr uint64_t kIdentityMapAddress = 0xfffbc000;
inline constexpr uint64_t kTssAddress = 0xfffbd000;

// The first MiB: what the kernel is handed at its start.
inline constexpr uint64_t kGdtAddress = 0x500;
inline constexpr uint64_t kStartInfoAddress = 0x6000;
inline constexpr uint64_t kZeroPageAddress = 0x7000;
inline constexpr uint64_t kPageTablesAddress = 0x9000;  // 6 pages
inline constexpr uint64_t kCmdlineAddress = 0x20000;
inline constexpr uint64_t kLowMemoryEnd = 0xa0000;
inline constexpr uint64_t kAcpiAddress = 0xe0000;
inline constexpr uint64_t kHighMemoryStart = 0x100000;

struct GuestLayout {
  uint64_t low_bytes = 0;   // from address 0, up to kHoleStart
  uint64_t high_bytes = 0;  // from kHoleEnd
};
// `memory_bytes` is a number of pages, at least 1 MiB.
GuestLayout LayoutFor(uint64_t memory_bytes);

// Types as BIOS call E820 has them; PVH's are the same.
inline constexpr uint32_t kE820Ram = 1;
inline constexpr uint32_t kE820Reserved = 2;
struct MemoryMapEntry {
  uint64_t start = 0;
  uint64_t bytes = 0;
  uint32_t type = 0;
};
// What the guest is told of its memory.
std::vector<MemoryMapEntry> MemoryMap(const GuestLayout& layout);

struct GuestMemoryFile {
  base::UniqueFd file;  // low memory from offset 0, then high memory
  std::shared_ptr<const GuestMemory> memory;
};
// Nothing is allocated until it is touched.
base::Result<GuestMemoryFile> AllocateGuestMemory(const GuestLayout& layout);

}  // namespace holt::vmm
