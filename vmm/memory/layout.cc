#include "vmm/memory/layout.h"

#include <algorithm>

namespace holt::vmm {

GuestLayout LayoutFor(uint64_t memory_bytes) {
  GuestLayout layout;
  layout.low_bytes = std::min(memory_bytes, kHoleStart);
  layout.high_bytes = memory_bytes - layout.low_bytes;
  return layout;
}

std::vector<MemoryMapEntry> MemoryMap(const GuestLayout& layout) {
  std::vector<MemoryMapEntry> map = {
      {0, kLowMemoryEnd, kE820Ram},
      {kAcpiAddress, kHighMemoryStart - kAcpiAddress, kE820Reserved},
  };
  if (layout.low_bytes > kHighMemoryStart)
    map.push_back({kHighMemoryStart, layout.low_bytes - kHighMemoryStart, kE820Ram});
  if (layout.high_bytes != 0) map.push_back({kHoleEnd, layout.high_bytes, kE820Ram});
  return map;
}

base::Result<GuestMemoryFile> AllocateGuestMemory(const GuestLayout& layout) {
  GuestMemoryFile result;
  TRY_ASSIGN(result.file,
             CreateMemoryFile("holt-guest-memory", layout.low_bytes + layout.high_bytes));
  std::vector<GuestMemory::RegionSpec> regions = {
      {GuestAddr(0), layout.low_bytes, result.file.get(), 0}};
  if (layout.high_bytes != 0)
    regions.push_back(
        {GuestAddr(kHoleEnd), layout.high_bytes, result.file.get(), layout.low_bytes});
  TRY_ASSIGN(result.memory, GuestMemory::Map(regions));
  return result;
}

}  // namespace holt::vmm
