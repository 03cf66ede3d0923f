#include "vmm/boot/kernel.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "vmm/boot/fake_kernel.h"

namespace holt::vmm {
namespace {

using ::testing::HasSubstr;

class KernelTest : public ::testing::Test {
 protected:
  base::Result<LoadedKernel> Load(std::string_view bytes, uint64_t memory_bytes = 64 * kMiB) {
    layout_ = LayoutFor(memory_bytes);
    auto allocated = AllocateGuestMemory(layout_);
    HOLT_CHECK(allocated.ok());
    memory_ = allocated->memory;
    base::UniqueFd file = FileWith(bytes);
    return LoadKernel(file.get(), *memory_, layout_);
  }
  // The error's text, or "loaded".
  std::string Refusal(std::string_view bytes, uint64_t memory_bytes = 64 * kMiB) {
    auto kernel = Load(bytes, memory_bytes);
    return kernel ? "loaded" : kernel.error().message();
  }
  std::string RefusedVmlinux(const std::function<void(FakeVmlinux&)>& damage) {
    FakeVmlinux kernel;
    damage(kernel);
    return Refusal(kernel.Bytes());
  }
  std::string RefusedBzImage(const std::function<void(FakeBzImage&)>& damage) {
    FakeBzImage kernel;
    damage(kernel);
    return Refusal(kernel.Bytes());
  }
  std::string GuestBytes(uint64_t address, size_t bytes) {
    std::string text(bytes, '\0');
    EXPECT_TRUE(memory_->Read(GuestAddr(address), std::as_writable_bytes(std::span(text))).ok());
    return text;
  }

  GuestLayout layout_;
  std::shared_ptr<const GuestMemory> memory_;
};

TEST_F(KernelTest, VmlinuxIsLoadedWhereItSays) {
  FakeVmlinux file;
  auto kernel = Load(file.Bytes());
  ASSERT_TRUE(kernel.ok()) << kernel.error().message();
  EXPECT_EQ(kernel->protocol, LoadedKernel::Protocol::kPvh);
  EXPECT_EQ(kernel->entry, FakeVmlinux::kAddress + 0x10);
  EXPECT_EQ(kernel->end, FakeVmlinux::kAddress + file.load.p_memsz);
  EXPECT_EQ(GuestBytes(FakeVmlinux::kAddress, file.text.size() + 1), file.text + '\0');
}

TEST_F(KernelTest, BzImageIsLoadedWhereItSays) {
  FakeBzImage file;
  auto kernel = Load(file.Bytes());
  ASSERT_TRUE(kernel.ok()) << kernel.error().message();
  EXPECT_EQ(kernel->protocol, LoadedKernel::Protocol::kLinux64);
  EXPECT_EQ(kernel->entry, FakeBzImage::kAddress + 0x200);
  EXPECT_EQ(kernel->end, FakeBzImage::kAddress + file.header.init_size);
  EXPECT_EQ(kernel->initramfs_last, 0x7fffffffu);
  EXPECT_EQ(GuestBytes(FakeBzImage::kAddress, file.payload.size()), file.payload);
}

TEST_F(KernelTest, WhatIsNoKernelIsCalledThat) {
  for (const std::string& text : {std::string(), std::string("x"), std::string("#!/bin/sh\n"),
                                  std::string(5000, 'x'), std::string(ELFMAG)})
    EXPECT_THAT(Refusal(text), HasSubstr("not a kernel: ")) << text.substr(0, 20);
  base::UniqueFd directory(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  auto kernel = LoadKernel(directory.get(), *memory_, layout_);
  ASSERT_FALSE(kernel.ok());
  EXPECT_THAT(kernel.error().message(), HasSubstr("not a plain file"));
}

TEST_F(KernelTest, TooLittleMemoryIsNamedWithWhatIsNeeded) {
  FakeVmlinux file;
  file.load.p_memsz = 20 * kMiB - FakeVmlinux::kAddress;
  EXPECT_EQ(Refusal(file.Bytes(), 8 * kMiB),
            "kernel does not fit in 8 MiB of memory: needs at least 20 MiB");
  EXPECT_EQ(Refusal(FakeBzImage().Bytes(), 8 * kMiB),
            "kernel does not fit in 8 MiB of memory: needs at least 17 MiB");
}

TEST_F(KernelTest, DamagedElfIsRefused) {
  const std::pair<const char*, std::function<void(FakeVmlinux&)>> cases[] = {
      {"another processor", [](auto& k) { k.header.e_machine = EM_AARCH64; }},
      {"another processor", [](auto& k) { k.header.e_ident[EI_CLASS] = ELFCLASS32; }},
      {"program headers", [](auto& k) { k.header.e_phnum = 0; }},
      {"program headers", [](auto& k) { k.header.e_phnum = 65535; }},
      {"program headers", [](auto& k) { k.header.e_phentsize = 1; }},
      {"cut short", [](auto& k) { k.header.e_phoff = UINT64_MAX - 8; }},
      {"cut short", [](auto& k) { k.load.p_offset = UINT64_MAX; }},
      {"cut short", [](auto& k) { k.load.p_offset += 1; }},
      {"cut short", [](auto& k) { k.note_segment.p_offset = UINT64_MAX - 2; }},
      {"larger than its memory", [](auto& k) { k.load.p_memsz = 1; }},
      {"bytes at address", [](auto& k) { k.load.p_paddr = 0x1000; }},
      {"bytes at address", [](auto& k) { k.load.p_paddr = UINT64_MAX - 0x100; }},
      {"bytes at address", [](auto& k) { k.load.p_memsz = UINT64_MAX - 0x100; }},
      {"bytes at address", [](auto& k) { k.load.p_paddr = 5 * kGiB; }},
      {"PVH entry point", [](auto& k) { k.note.header.n_type = 17; }},
      {"PVH entry point", [](auto& k) { k.note.name[0] = 'Y'; }},
      {"PVH entry point", [](auto& k) { k.note.header.n_namesz = UINT32_MAX; }},
      {"PVH entry point", [](auto& k) { k.note.header.n_descsz = UINT32_MAX; }},
      {"PVH entry point", [](auto& k) { k.note_segment.p_filesz = 1 << 20; }},
      {"PVH entry point", [](auto& k) { k.note_segment.p_filesz = 14; }},
      {"not in the kernel", [](auto& k) { k.note.entry = 0x100000; }},
      {"not in the kernel", [](auto& k) { k.note.entry = FakeVmlinux::kAddress + 0x2000; }},
      {"nothing to load", [](auto& k) { k.load.p_type = PT_NULL; }},
  };
  for (const auto& [text, damage] : cases) EXPECT_THAT(RefusedVmlinux(damage), HasSubstr(text));
}

TEST_F(KernelTest, DamagedBzImageIsRefused) {
  const std::pair<const char*, std::function<void(FakeBzImage&)>> cases[] = {
      {"nor a bzImage", [](auto& k) { k.header.boot_flag = 0; }},
      {"nor a bzImage", [](auto& k) { k.header.header = 0; }},
      {"64-bit entry", [](auto& k) { k.header.version = 0x20b; }},
      {"64-bit entry", [](auto& k) { k.header.xloadflags = 0; }},
      {"64-bit entry", [](auto& k) { k.header.loadflags = 0; }},
      {"cut short", [](auto& k) { k.header.setup_sects = 255; }},
      {"alignment", [](auto& k) { k.header.kernel_alignment = 0; }},
      {"alignment", [](auto& k) { k.header.kernel_alignment = 0x300000; }},
      {"alignment", [](auto& k) { k.header.pref_address += 0x1000; }},
      {"larger than it says", [](auto& k) { k.header.init_size = 0x1000; }},
      {"bytes at address", [](auto& k) { k.header.pref_address = 0; }},
      {"bytes at address", [](auto& k) { k.header.pref_address = 0xffffffffffe00000; }},
  };
  for (const auto& [text, damage] : cases) EXPECT_THAT(RefusedBzImage(damage), HasSubstr(text));
}

}  // namespace
}  // namespace holt::vmm
