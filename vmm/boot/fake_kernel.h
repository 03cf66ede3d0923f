#pragma once

#include <asm/bootparam.h>
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <string_view>

#include "base/unique_fd.h"

// Kernel files made by hand, for tests: right to begin with, for a test to break.
namespace holt::vmm {

inline base::UniqueFd FileWith(std::string_view bytes) {
  base::UniqueFd fd(memfd_create("test-file", MFD_CLOEXEC));
  if (write(fd.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) fd.Reset();
  return fd;
}

// An ELF kernel of one segment and one PVH note.
struct FakeVmlinux {
  static constexpr uint64_t kTextOffset = 0x1000;
  static constexpr uint64_t kAddress = 0x200000;

  Elf64_Ehdr header{};
  Elf64_Phdr load{};
  Elf64_Phdr note_segment{};
  struct {
    Elf64_Nhdr header{sizeof "Xen", 4, 18};
    char name[4] = {'X', 'e', 'n', 0};
    uint32_t entry = kAddress + 0x10;
  } note;
  std::string text = std::string(0x2000, 'T');

  FakeVmlinux() {
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_machine = EM_X86_64;
    header.e_phoff = sizeof header;
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 2;
    load.p_type = PT_LOAD;
    load.p_offset = kTextOffset;
    load.p_paddr = kAddress;
    load.p_filesz = text.size();
    load.p_memsz = text.size() + 0x1000;
    note_segment.p_type = PT_NOTE;
    note_segment.p_offset = sizeof header + 2 * sizeof load;
    note_segment.p_filesz = sizeof note;
  }

  std::string Bytes() const {
    std::string bytes(kTextOffset, '\0');
    size_t at = 0;
    auto put = [&](const auto& value) {
      std::memcpy(bytes.data() + at, &value, sizeof value);
      at += sizeof value;
    };
    put(header);
    put(load);
    put(note_segment);
    put(note);
    return bytes + text;
  }
};

// A bzImage with a payload of 'P's.
struct FakeBzImage {
  static constexpr uint64_t kAddress = 0x1000000;

  setup_header header{};
  std::string payload = std::string(0x3000, 'P');

  FakeBzImage() {
    header.setup_sects = 4;
    header.boot_flag = 0xaa55;
    header.header = 0x53726448;
    header.version = 0x20f;
    header.loadflags = LOADED_HIGH;
    header.xloadflags = XLF_KERNEL_64;
    header.kernel_alignment = 0x200000;
    header.pref_address = kAddress;
    header.init_size = 0x100000;
    header.initrd_addr_max = 0x7fffffff;
  }

  std::string Bytes() const {
    std::string bytes(5 * 512, '\0');
    std::memcpy(bytes.data() + 0x1f1, &header, sizeof header);
    return bytes + payload;
  }
};

}  // namespace holt::vmm
