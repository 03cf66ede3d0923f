// ELF kernels with a PVH note.
#include <elf.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "vmm/boot/kernel.h"

namespace holt::vmm {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

constexpr size_t kMaxProgramHeaders = 64;
constexpr uint64_t kMaxNoteBytes = 64 << 10;
// XEN_ELFNOTE_PHYS32_ENTRY (xen/include/public/elfnote.h).
constexpr uint32_t kNotePhys32Entry = 18;
constexpr char kNoteName[] = "Xen";  // with its NUL

base::Error NotAKernel(std::string_view why) {
  return MakeError(Code::kInvalidArgument, "not a kernel: {}", why);
}

Status CheckHeader(const Elf64_Ehdr& header) {
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
      header.e_machine != EM_X86_64)
    return NotAKernel("an ELF file for another processor");
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0 ||
      header.e_phnum > kMaxProgramHeaders)
    return NotAKernel("an ELF file without usable program headers");
  return {};
}

// The run [offset, offset + bytes) must be in the file.
Status CheckInFile(uint64_t offset, uint64_t bytes, uint64_t file_bytes) {
  if (offset > file_bytes || bytes > file_bytes - offset)
    return NotAKernel("an ELF file that was cut short");
  return {};
}

// The PVH entry point among the notes of one segment.
std::optional<uint64_t> FindPvhEntry(std::span<const std::byte> notes) {
  while (notes.size() >= sizeof(Elf64_Nhdr)) {
    Elf64_Nhdr note;
    std::memcpy(&note, notes.data(), sizeof note);
    notes = notes.subspan(sizeof note);
    const uint64_t name_bytes = (uint64_t{note.n_namesz} + 3) & ~3ull;
    const uint64_t description_bytes = (uint64_t{note.n_descsz} + 3) & ~3ull;
    // Two 32-bit numbers: the sum cannot wrap.
    if (name_bytes + description_bytes > notes.size()) return std::nullopt;
    const bool ours = note.n_type == kNotePhys32Entry && note.n_namesz == sizeof kNoteName &&
                      std::memcmp(notes.data(), kNoteName, sizeof kNoteName) == 0;
    if (ours && (note.n_descsz == 4 || note.n_descsz == 8)) {
      uint64_t entry = 0;
      std::memcpy(&entry, notes.data() + name_bytes, note.n_descsz);
      return entry;
    }
    notes = notes.subspan(name_bytes + description_bytes);
  }
  return std::nullopt;
}

}  // namespace

Result<LoadedKernel> LoadVmlinux(int fd, uint64_t file_bytes, const GuestMemory& memory,
                                 const GuestLayout& layout) {
  Elf64_Ehdr header{};
  TRY(CheckInFile(0, sizeof header, file_bytes));
  TRY(ReadExactly(fd, 0, std::as_writable_bytes(std::span(&header, 1))));
  TRY(CheckHeader(header));
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  TRY(CheckInFile(header.e_phoff, segments.size() * sizeof(Elf64_Phdr), file_bytes));
  TRY(ReadExactly(fd, header.e_phoff, std::as_writable_bytes(std::span(segments))));

  LoadedKernel kernel;
  kernel.protocol = LoadedKernel::Protocol::kPvh;
  std::optional<uint64_t> entry;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type == PT_NOTE && segment.p_filesz <= kMaxNoteBytes && !entry) {
      TRY(CheckInFile(segment.p_offset, segment.p_filesz, file_bytes));
      std::vector<std::byte> notes(segment.p_filesz);
      TRY(ReadExactly(fd, segment.p_offset, notes));
      entry = FindPvhEntry(notes);
    }
    if (segment.p_type != PT_LOAD || segment.p_memsz == 0) continue;
    if (segment.p_filesz > segment.p_memsz)
      return NotAKernel("an ELF segment larger than its memory");
    TRY(CheckInFile(segment.p_offset, segment.p_filesz, file_bytes));
    TRY(CheckKernelFits(segment.p_paddr, segment.p_memsz, layout));
    kernel.end = std::max(kernel.end, segment.p_paddr + segment.p_memsz);
  }
  if (kernel.end == 0) return NotAKernel("an ELF file with nothing to load");
  if (!entry)
    return NotAKernel("an ELF file without a PVH entry point (a kernel needs CONFIG_PVH)");
  const bool entry_loaded = std::any_of(segments.begin(), segments.end(), [&](const Elf64_Phdr& s) {
    return s.p_type == PT_LOAD && *entry >= s.p_paddr && *entry - s.p_paddr < s.p_filesz;
  });
  if (!entry_loaded) return NotAKernel("an entry point that is not in the kernel");
  kernel.entry = *entry;

  // Only now: a file that is refused leaves the guest's memory untouched. What is beyond p_filesz
  // is zero because the memory is fresh.
  for (const Elf64_Phdr& segment : segments)
    if (segment.p_type == PT_LOAD && segment.p_filesz != 0)
      TRY_CONTEXT(
          ReadIntoGuest(fd, segment.p_offset, segment.p_filesz, memory, GuestAddr(segment.p_paddr)),
          "kernel");
  return kernel;
}

}  // namespace holt::vmm
