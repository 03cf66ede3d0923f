#include "vmm/cpu/cpuid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <set>

namespace holt::vmm {
namespace {

kvm_cpuid_entry2 Leaf(uint32_t function, uint32_t index, uint32_t eax, uint32_t ebx, uint32_t ecx,
                      uint32_t edx) {
  kvm_cpuid_entry2 leaf{};
  leaf.function = function;
  leaf.index = index;
  leaf.eax = eax;
  leaf.ebx = ebx;
  leaf.ecx = ecx;
  leaf.edx = edx;
  return leaf;
}

// Everything that a host could support.
std::vector<kvm_cpuid_entry2> Everything() {
  std::vector<kvm_cpuid_entry2> leaves;
  for (uint32_t base : {0u, 0x40000000u, 0x80000000u})
    for (uint32_t i = 0; i < 0x30; ++i)
      leaves.push_back(Leaf(base + i, 0, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX));
  return leaves;
}

std::optional<kvm_cpuid_entry2> Find(const std::vector<kvm_cpuid_entry2>& leaves, uint32_t function,
                                     uint32_t index = 0) {
  auto it = std::ranges::find_if(
      leaves, [&](const auto& leaf) { return leaf.function == function && leaf.index == index; });
  if (it == leaves.end()) return std::nullopt;
  return *it;
}

TEST(CpuidTest, NestedVirtualizationAndTheLikeAreNotOffered) {
  auto leaves = GuestCpuid(Everything(), {});
  auto basic = *Find(leaves, 1);
  EXPECT_EQ(basic.ecx & (1u << 5), 0u) << "VMX";
  EXPECT_EQ(basic.ecx & (1u << 3), 0u) << "MONITOR";
  EXPECT_NE(basic.ecx & (1u << 31), 0u) << "hypervisor";
  EXPECT_EQ(Find(leaves, 0x80000001)->ecx & (1u << 2), 0u) << "SVM";
  EXPECT_EQ(Find(leaves, 7)->edx & (1u << 24), 0u) << "AMX";
  EXPECT_EQ(Find(leaves, 7)->ebx & (1u << 2), 0u) << "SGX";
  for (uint32_t gone : {0xau, 0x12u, 0x14u, 0x1du, 0x8000000au, 0x8000001fu})
    EXPECT_FALSE(Find(leaves, gone).has_value()) << gone;
  // KVM's own stay: kvmclock is there.
  EXPECT_TRUE(Find(leaves, 0x40000001).has_value());
}

TEST(CpuidTest, TscDeadlineIsAsKvmHasIt) {
  EXPECT_NE(Find(GuestCpuid(Everything(), {.tsc_deadline = true}), 1)->ecx & (1u << 24), 0u);
  EXPECT_EQ(Find(GuestCpuid(Everything(), {.tsc_deadline = false}), 1)->ecx & (1u << 24), 0u);
}

TEST(CpuidTest, EachProcessorIsACoreOfOnePackage) {
  for (uint32_t count : {1u, 2u, 3u, 4u, 31u, 32u}) {
    std::set<uint32_t> ids;
    for (uint32_t index = 0; index < count; ++index) {
      auto leaves = GuestCpuid(Everything(), {.index = index, .count = count});
      EXPECT_EQ(Find(leaves, 1)->ebx >> 24, index);
      EXPECT_EQ((Find(leaves, 1)->ebx >> 16) & 0xff, count);
      EXPECT_EQ(Find(leaves, 0xb, 0)->eax, 0u);
      EXPECT_EQ(Find(leaves, 0xb, 1)->ebx, count);
      EXPECT_EQ(Find(leaves, 0xb, 1)->edx, index);
      // All have the same package number, which is what is left of the id.
      EXPECT_EQ(index >> Find(leaves, 0xb, 1)->eax, 0u);
      EXPECT_EQ(Find(leaves, 0x80000008)->ecx & 0xff, count - 1);
      EXPECT_EQ(Find(leaves, 0x8000001e)->eax, index);
      ids.insert(Find(leaves, 0xb, 0)->edx);
    }
    EXPECT_EQ(ids.size(), count);
  }
}

TEST(CpuidTest, LastLevelCacheIsShared) {
  std::vector<kvm_cpuid_entry2> supported = {
      Leaf(4, 0, 1u << 5 | 1 | 0xfffu << 14, 0, 0, 0),  // L1 data
      Leaf(4, 3, 3u << 5 | 3, 0, 0, 0),                 // L3
      Leaf(4, 4, 0, 0, 0, 0),                           // the end
  };
  auto leaves = GuestCpuid(supported, {.index = 1, .count = 4});
  EXPECT_EQ((Find(leaves, 4, 0)->eax >> 14) & 0xfff, 0u);
  EXPECT_EQ((Find(leaves, 4, 3)->eax >> 14) & 0xfff, 3u);
  EXPECT_EQ(Find(leaves, 4, 4)->eax, 0u);
}

}  // namespace
}  // namespace holt::vmm
