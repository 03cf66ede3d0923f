#include "vmm/memory/guest_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <limits>

namespace holt::vmm {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

// Two regions that touch at 0x4000, and one apart at 0x10000.
class GuestMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fd_ = *CreateMemoryFile("test", 0x8000);
    GuestMemory::RegionSpec specs[] = {{GuestAddr(0x10000), 0x1000, fd_.get(), 0x7000},
                                       {GuestAddr(0x1000), 0x3000, fd_.get(), 0},
                                       {GuestAddr(0x4000), 0x2000, fd_.get(), 0x5000}};
    auto memory = GuestMemory::Map(specs);
    ASSERT_TRUE(memory.ok()) << memory.error().message();
    memory_ = *memory;
  }
  base::UniqueFd fd_;
  std::shared_ptr<const GuestMemory> memory_;
};

TEST(GuestAddr, AdditionThatWrapsIsNothing) {
  EXPECT_EQ(GuestAddr(5).Add(6)->value(), 11u);
  EXPECT_EQ(GuestAddr(kMax).Add(0)->value(), kMax);
  EXPECT_FALSE(GuestAddr(kMax).Add(1).has_value());
  EXPECT_FALSE(GuestAddr(1).Add(kMax).has_value());
}

TEST_F(GuestMemoryTest, WritesReachTheFile) {
  ASSERT_TRUE(memory_->Write<uint32_t>(GuestAddr(0x4010), 0xfeedbeef).ok());
  uint32_t seen = 0;
  ASSERT_EQ(pread(fd_.get(), &seen, sizeof seen, 0x5010), 4);
  EXPECT_EQ(seen, 0xfeedbeefu);
  EXPECT_EQ(*memory_->Read<uint32_t>(GuestAddr(0x4010)), 0xfeedbeefu);
}

TEST_F(GuestMemoryTest, SliceNeverCrossesARegion) {
  EXPECT_TRUE(memory_->Slice(GuestAddr(0x3ff0), 0x10).ok());
  EXPECT_FALSE(memory_->Slice(GuestAddr(0x3ff0), 0x11).ok());
  EXPECT_FALSE(memory_->Read<uint64_t>(GuestAddr(0x3ffc)).ok());
  EXPECT_FALSE(memory_->Slice(GuestAddr(0x10ff8), 9).ok());
}

TEST_F(GuestMemoryTest, HolesAndLengthsThatWrapAreRefused) {
  EXPECT_FALSE(memory_->Slice(GuestAddr(0), 1).ok());
  EXPECT_FALSE(memory_->Slice(GuestAddr(0xfff), 1).ok());
  EXPECT_FALSE(memory_->Slice(GuestAddr(0x6000), 1).ok());
  EXPECT_FALSE(memory_->Slice(GuestAddr(0x11000), 0).ok());
  EXPECT_FALSE(memory_->Slice(GuestAddr(kMax), 2).ok());
  EXPECT_FALSE(memory_->Slice(GuestAddr(0x1000), kMax).ok());
  EXPECT_FALSE(memory_->Slice(GuestAddr(0x1001), kMax - 0x1000).ok());
}

TEST_F(GuestMemoryTest, RunOverTouchingRegionsBecomesTwoSlices) {
  std::vector<GuestSlice> slices;
  ASSERT_TRUE(memory_->AppendSlices(GuestAddr(0x3ff0), 0x20, slices).ok());
  ASSERT_EQ(slices.size(), 2u);
  EXPECT_EQ(slices[0].size(), 0x10u);
  EXPECT_EQ(slices[1].size(), 0x10u);
  slices[1].Write<uint8_t>(0, 0x77);
  EXPECT_EQ(*memory_->Read<uint8_t>(GuestAddr(0x4000)), 0x77);
}

TEST_F(GuestMemoryTest, RunIntoAHoleLeavesTheListAsItWas) {
  std::vector<GuestSlice> slices;
  ASSERT_TRUE(memory_->AppendSlices(GuestAddr(0x1000), 8, slices).ok());
  EXPECT_FALSE(memory_->AppendSlices(GuestAddr(0x3ff0), 0x10000, slices).ok());
  EXPECT_FALSE(memory_->AppendSlices(GuestAddr(kMax - 3), 8, slices).ok());
  EXPECT_EQ(slices.size(), 1u);
}

TEST_F(GuestMemoryTest, OffsetsOutsideASliceAbort) {
  GuestSlice slice = *memory_->Slice(GuestAddr(0x1000), 16);
  EXPECT_DEATH((void)slice.Read<uint64_t>(9), "");
  EXPECT_DEATH((void)slice.Read<uint8_t>(std::numeric_limits<size_t>::max()), "");
  EXPECT_DEATH((void)slice.Sub(8, 9), "");
  EXPECT_DEATH(slice.StoreRelease<uint16_t>(15, 1), "");
}

TEST(GuestMemory, BadRegionsAreRefused) {
  auto fd = CreateMemoryFile("test", 0x4000);
  ASSERT_TRUE(fd.ok());
  auto map = [&](std::vector<GuestMemory::RegionSpec> specs) {
    return GuestMemory::Map(specs).ok();
  };
  EXPECT_FALSE(map({}));
  EXPECT_FALSE(map({{GuestAddr(0), 0, fd->get(), 0}}));
  EXPECT_FALSE(map({{GuestAddr(kMax - 0xfff), 0x2000, fd->get(), 0}}));
  EXPECT_FALSE(map({{GuestAddr(0), 0x5000, fd->get(), 0}})) << "past the end of the file";
  EXPECT_FALSE(map({{GuestAddr(0), 0x1000, fd->get(), kMax - 0x7ff}})) << "offset + size wraps";
  EXPECT_FALSE(
      map({{GuestAddr(0), 0x2000, fd->get(), 0}, {GuestAddr(0x1000), 0x1000, fd->get(), 0}}));
  EXPECT_FALSE(map({{GuestAddr(0), 0x1000, -1, 0}}));
  EXPECT_TRUE(map({{GuestAddr(0), 0x1000, fd->get(), 0x800}}))
      << "unaligned offsets are rounded for mmap";
}

TEST(GuestMemory, FileCannotBeShrunkUnderTheMapping) {
  auto fd = CreateMemoryFile("test", 0x4000);
  ASSERT_TRUE(fd.ok());
  EXPECT_NE(ftruncate(fd->get(), 0x1000), 0);
}

}  // namespace
}  // namespace holt::vmm
