#include "vmm/boot/boot.h"

#include <asm/bootparam.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "vmm/boot/kernel.h"
#include "vmm/boot/start_info.h"

namespace holt::vmm {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

constexpr uint64_t kPage = 4096;

struct Initramfs {
  uint64_t address = 0;
  uint64_t bytes = 0;
};

// As high in low memory as the kernel can reach, so that nothing that grows upwards meets it.
Result<Initramfs> LoadInitramfs(int fd, const GuestMemory& memory, const GuestLayout& layout,
                                const LoadedKernel& kernel) {
  if (fd < 0) return Initramfs{};
  struct stat status {};
  if (fstat(fd, &status) != 0) return HOLT_ERRNO("initramfs");
  if (!S_ISREG(status.st_mode) || status.st_size == 0)
    return MakeError(Code::kInvalidArgument, "initramfs: not a plain file with something in it");
  const auto bytes = static_cast<uint64_t>(status.st_size);
  const uint64_t end = std::min(layout.low_bytes, kernel.initramfs_last + 1);
  const uint64_t first = (kernel.end + kPage - 1) & ~(kPage - 1);
  if (end < first || end - first < bytes) {
    const uint64_t needed = first + bytes;
    return MakeError(
        Code::kResourceExhausted,
        "kernel and initramfs do not fit in {} MiB of memory: they need at least {} MiB",
        (layout.low_bytes + layout.high_bytes) / kMiB, (needed + kMiB - 1) / kMiB);
  }
  Initramfs initramfs{(end - bytes) & ~(kPage - 1), bytes};
  if (initramfs.address < first) initramfs.address = first;
  TRY_CONTEXT(ReadIntoGuest(fd, 0, bytes, memory, GuestAddr(initramfs.address)), "initramfs");
  return initramfs;
}

Status WriteBytes(const GuestMemory& memory, uint64_t address, std::string_view bytes) {
  return memory.Write(GuestAddr(address), std::as_bytes(std::span(bytes.data(), bytes.size())));
}

// Flat segments (Intel SDM 3A, 3.4.5). The 64-bit and the 32-bit code segment differ in L and D.
Status WriteGdt(const GuestMemory& memory, bool long_mode) {
  const uint64_t entries[kGdtEntries] = {
      0,
      0,
      long_mode ? 0x00af9b000000ffffull : 0x00cf9b000000ffffull,  // kCodeSelector
      0x00cf93000000ffff,                                         // kDataSelector
      0x008f8b000000ffff,                                         // kTaskSelector
  };
  return memory.Write(GuestAddr(kGdtAddress), entries);
}

// The first 4 GiB, mapped to themselves by 2 MiB pages: a PML4, a PDPT and four page directories.
Status WritePageTables(const GuestMemory& memory) {
  constexpr uint64_t kPresentWritable = 3;
  constexpr uint64_t kLarge = 1 << 7;
  constexpr uint64_t kEntries = 512;
  const uint64_t pdpt = kPageTablesAddress + kPage;
  const uint64_t directories = pdpt + kPage;
  TRY(memory.Write(GuestAddr(kPageTablesAddress), pdpt | kPresentWritable));
  for (uint64_t i = 0; i < 4; ++i) {
    const uint64_t directory = directories + i * kPage;
    TRY(memory.Write(GuestAddr(pdpt + i * 8), directory | kPresentWritable));
    uint64_t entries[kEntries];
    for (uint64_t k = 0; k < kEntries; ++k)
      entries[k] = (i * kEntries + k) * 2 * kMiB | kPresentWritable | kLarge;
    TRY(memory.Write(GuestAddr(directory), entries));
  }
  return {};
}

Status WriteStartInfo(const GuestMemory& memory, const GuestLayout& layout,
                      const Initramfs& initramfs) {
  const auto map = MemoryMap(layout);
  pvh::StartInfo info{};
  info.magic = pvh::kMagic;
  info.version = 1;
  info.cmdline = kCmdlineAddress;
  info.rsdp = kAcpiAddress;
  uint64_t next = kStartInfoAddress + sizeof info;
  if (initramfs.bytes != 0) {
    info.modules = 1;
    info.module_list = next;
    TRY(memory.Write(GuestAddr(next), pvh::Module{initramfs.address, initramfs.bytes, 0, 0}));
    next += sizeof(pvh::Module);
  }
  info.memory_map = next;
  info.memory_map_entries = static_cast<uint32_t>(map.size());
  for (const MemoryMapEntry& entry : map) {
    TRY(memory.Write(GuestAddr(next),
                     pvh::MemoryMapEntry{entry.start, entry.bytes, entry.type, 0}));
    next += sizeof(pvh::MemoryMapEntry);
  }
  return memory.Write(GuestAddr(kStartInfoAddress), info);
}

Status WriteZeroPage(const GuestMemory& memory, const GuestLayout& layout,
                     const LoadedKernel& kernel, const Initramfs& initramfs, size_t cmdline_bytes) {
  boot_params params{};
  HOLT_CHECK(kernel.setup_header.size() == sizeof params.hdr);
  std::memcpy(&params.hdr, kernel.setup_header.data(), sizeof params.hdr);
  params.hdr.type_of_loader = 0xff;
  params.hdr.loadflags |= CAN_USE_HEAP;
  params.hdr.heap_end_ptr = 0;
  params.hdr.cmd_line_ptr = kCmdlineAddress;
  params.hdr.cmdline_size = static_cast<uint32_t>(cmdline_bytes);
  params.hdr.ramdisk_image = static_cast<uint32_t>(initramfs.address);
  params.hdr.ramdisk_size = static_cast<uint32_t>(initramfs.bytes);
  params.acpi_rsdp_addr = kAcpiAddress;
  for (const MemoryMapEntry& entry : MemoryMap(layout))
    params.e820_table[params.e820_entries++] = {entry.start, entry.bytes, entry.type};
  return memory.Write(GuestAddr(kZeroPageAddress), params);
}

}  // namespace

Result<BootEntry> PrepareBoot(const GuestMemory& memory, const GuestLayout& layout,
                              const BootOptions& options) {
  if (options.cmdline.size() >= kMaxCmdlineBytes || options.cmdline.find('\0') != std::string::npos)
    return MakeError(Code::kInvalidArgument,
                     "kernel command line of {} bytes (at most {} are taken, and no NUL)",
                     options.cmdline.size(), kMaxCmdlineBytes - 1);
  TRY_ASSIGN(LoadedKernel kernel, LoadKernel(options.kernel, memory, layout));
  TRY_ASSIGN(Initramfs initramfs, LoadInitramfs(options.initramfs, memory, layout, kernel));
  TRY(WriteBytes(memory, kCmdlineAddress, options.cmdline));
  const std::string tables = BuildAcpiTables(kAcpiAddress, options.vcpus, options.devices);
  HOLT_CHECK(tables.size() <= kHighMemoryStart - kAcpiAddress);
  TRY(WriteBytes(memory, kAcpiAddress, tables));

  BootEntry entry;
  entry.rip = kernel.entry;
  entry.long_mode = kernel.protocol == LoadedKernel::Protocol::kLinux64;
  TRY(WriteGdt(memory, entry.long_mode));
  if (entry.long_mode) {
    TRY(WritePageTables(memory));
    TRY(WriteZeroPage(memory, layout, kernel, initramfs, options.cmdline.size()));
    entry.rsi = kZeroPageAddress;
  } else {
    TRY(WriteStartInfo(memory, layout, initramfs));
    entry.rbx = kStartInfoAddress;
  }
  return entry;
}

}  // namespace holt::vmm
