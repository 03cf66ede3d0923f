#include "vmm/boot/boot.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vmm/boot/fake_kernel.h"
#include "vmm/boot/start_info.h"

namespace holt::vmm {
namespace {

using ::testing::HasSubstr;

class BootTest : public ::testing::Test {
 protected:
  base::Result<BootEntry> Prepare(std::string_view kernel, std::string_view initramfs,
                                  const std::string& cmdline = "quiet",
                                  uint64_t memory_bytes = 64 * kMiB) {
    layout_ = LayoutFor(memory_bytes);
    auto allocated = AllocateGuestMemory(layout_);
    HOLT_CHECK(allocated.ok());
    memory_ = allocated->memory;
    base::UniqueFd kernel_file = FileWith(kernel);
    base::UniqueFd initramfs_file = FileWith(initramfs);
    BootOptions options{.kernel = kernel_file.get(), .cmdline = cmdline};
    if (!initramfs.empty()) options.initramfs = initramfs_file.get();
    return PrepareBoot(*memory_, layout_, options);
  }
  template <typename T>
  T Guest(uint64_t address) {
    return *memory_->Read<T>(GuestAddr(address));
  }
  std::string GuestText(uint64_t address, size_t bytes) {
    std::string text(bytes, '?');
    EXPECT_TRUE(memory_->Read(GuestAddr(address), std::as_writable_bytes(std::span(text))).ok());
    return text;
  }

  GuestLayout layout_;
  std::shared_ptr<const GuestMemory> memory_;
};

TEST_F(BootTest, PvhIsToldEverything) {
  const std::string initramfs(5000, 'I');
  auto entry = Prepare(FakeVmlinux().Bytes(), initramfs);
  ASSERT_TRUE(entry.ok()) << entry.error().message();
  EXPECT_FALSE(entry->long_mode);
  auto info = Guest<pvh::StartInfo>(entry->rbx);
  EXPECT_EQ(info.magic, pvh::kMagic);
  EXPECT_EQ(GuestText(info.cmdline, 6), std::string("quiet\0", 6));
  EXPECT_EQ(GuestText(info.rsdp, 8), "RSD PTR ");
  ASSERT_EQ(info.modules, 1u);
  auto module = Guest<pvh::Module>(info.module_list);
  EXPECT_EQ(module.bytes, initramfs.size());
  EXPECT_EQ(module.address % 4096, 0u);
  EXPECT_EQ(Guest<char>(module.address + 4999), 'I');
  ASSERT_EQ(info.memory_map_entries, 3u);
  auto last = Guest<pvh::MemoryMapEntry>(info.memory_map + 2 * sizeof(pvh::MemoryMapEntry));
  EXPECT_EQ(last.address + last.bytes, 64 * kMiB);
}

TEST_F(BootTest, BzImageIsToldEverything) {
  auto entry = Prepare(FakeBzImage().Bytes(), "initramfs");
  ASSERT_TRUE(entry.ok()) << entry.error().message();
  EXPECT_TRUE(entry->long_mode);
  auto params = Guest<boot_params>(entry->rsi);
  EXPECT_EQ(params.hdr.header, 0x53726448u);
  EXPECT_EQ(params.hdr.cmd_line_ptr, kCmdlineAddress);
  EXPECT_EQ(params.hdr.ramdisk_size, 9u);
  EXPECT_EQ(Guest<char>(params.hdr.ramdisk_image), 'i');
  EXPECT_EQ(params.acpi_rsdp_addr, kAcpiAddress);
  EXPECT_EQ(params.e820_entries, 3);
  // The page tables map an address to itself.
  const auto pdpt = Guest<uint64_t>(kPageTablesAddress) & ~0xfffull;
  const auto directory = Guest<uint64_t>(pdpt + 3 * 8) & ~0xfffull;
  EXPECT_EQ(Guest<uint64_t>(directory + 511 * 8) & ~0xfffull, 4 * kGiB - 2 * kMiB);
}

TEST_F(BootTest, MemoryAbove4GiBIsOnTheMap) {
  auto entry = Prepare(FakeVmlinux().Bytes(), "", "", 5 * kGiB);
  ASSERT_TRUE(entry.ok()) << entry.error().message();
  auto info = Guest<pvh::StartInfo>(entry->rbx);
  ASSERT_EQ(info.memory_map_entries, 4u);
  auto high = Guest<pvh::MemoryMapEntry>(info.memory_map + 3 * sizeof(pvh::MemoryMapEntry));
  EXPECT_EQ(high.address, 4 * kGiB);
  EXPECT_EQ(high.bytes, 2 * kGiB);
  EXPECT_EQ(info.modules, 0u);
}

TEST_F(BootTest, WhatDoesNotFitIsRefused) {
  auto entry = Prepare(FakeVmlinux().Bytes(), std::string(8 * kMiB, 'I'), "", 8 * kMiB);
  ASSERT_FALSE(entry.ok());
  EXPECT_THAT(entry.error().message(),
              HasSubstr("do not fit in 8 MiB of memory: they need at least"));
  entry = Prepare(FakeVmlinux().Bytes(), "", std::string(2048, 'x'));
  ASSERT_FALSE(entry.ok());
  EXPECT_THAT(entry.error().message(), HasSubstr("command line of 2048 bytes"));
  EXPECT_TRUE(Prepare(FakeVmlinux().Bytes(), "", std::string(2047, 'x')).ok());
}

}  // namespace
}  // namespace holt::vmm
