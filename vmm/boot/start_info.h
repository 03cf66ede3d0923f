#pragma once

#include <cstdint>

// PVH's start information (xen/include/public/arch-x86/hvm/start_info.h): what EBX points to.
namespace holt::vmm::pvh {

inline constexpr uint32_t kMagic = 0x336ec578;

struct StartInfo {
  uint32_t magic;
  uint32_t version;
  uint32_t flags;
  uint32_t modules;
  uint64_t module_list;
  uint64_t cmdline;
  uint64_t rsdp;
  uint64_t memory_map;
  uint32_t memory_map_entries;
  uint32_t reserved;
};
static_assert(sizeof(StartInfo) == 56);

struct Module {
  uint64_t address;
  uint64_t bytes;
  uint64_t cmdline;
  uint64_t reserved;
};
static_assert(sizeof(Module) == 32);

struct MemoryMapEntry {
  uint64_t address;
  uint64_t bytes;
  uint32_t type;
  uint32_t reserved;
};
static_assert(sizeof(MemoryMapEntry) == 24);

}  // namespace holt::vmm::pvh
