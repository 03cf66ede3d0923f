#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "vmm/boot/acpi.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/memory/layout.h"

namespace holt::vmm {

struct BootOptions {
  int kernel = -1;     // vmlinux or bzImage, borrowed
  int initramfs = -1;  // borrowed; -1: none
  std::string cmdline;
  uint32_t vcpus = 1;
  std::span<const MmioDevice> devices;
};

// How the first processor starts.
struct BootEntry {
  bool long_mode = false;  // else 32-bit protected mode without paging
  uint64_t rip = 0;
  uint64_t rbx = 0;  // PVH: the start info
  uint64_t rsi = 0;  // 64-bit boot protocol: the zero page
};

// Puts kernel, initramfs, command line, ACPI tables and what the boot protocol wants into fresh
// guest memory. Errors are LoadKernel's, and an initramfs or command line that does not fit.
base::Result<BootEntry> PrepareBoot(const GuestMemory& memory, const GuestLayout& layout,
                                    const BootOptions& options);

// COMMAND_LINE_SIZE of x86, with its NUL.
inline constexpr size_t kMaxCmdlineBytes = 2048;

// The GDT at kGdtAddress, and the selectors in it.
inline constexpr uint16_t kCodeSelector = 0x10;
inline constexpr uint16_t kDataSelector = 0x18;
inline constexpr uint16_t kTaskSelector = 0x20;
inline constexpr size_t kGdtEntries = 5;

}  // namespace holt::vmm
