#include "vmm/boot/acpi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <numeric>

#include "vmm/boot/aml.h"

namespace holt::vmm {
namespace {

using ::testing::HasSubstr;
using namespace std::literals;

constexpr uint64_t kAddress = 0xe0000;

template <typename T>
T At(std::string_view bytes, size_t offset) {
  T value;
  HOLT_CHECK(offset + sizeof value <= bytes.size());
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

uint8_t Sum(std::string_view bytes) {
  return static_cast<uint8_t>(std::accumulate(bytes.begin(), bytes.end(), 0));
}

// The tables that a kernel finds from the RSDP, by signature, each with a good checksum.
std::map<std::string, std::string> Walk(const std::string& all) {
  std::map<std::string, std::string> tables;
  EXPECT_EQ(all.substr(0, 8), "RSD PTR ");
  EXPECT_EQ(Sum(all.substr(0, 20)), 0);
  EXPECT_EQ(Sum(all.substr(0, 36)), 0);
  auto take = [&](uint64_t address) {
    const size_t at = address - kAddress;
    std::string table = all.substr(at, At<uint32_t>(all, at + 4));
    EXPECT_EQ(Sum(table), 0) << table.substr(0, 4);
    tables[table.substr(0, 4)] = table;
    return table;
  };
  const std::string xsdt = take(At<uint64_t>(all, 24));
  for (size_t at = 36; at < xsdt.size(); at += 8) take(At<uint64_t>(xsdt, at));
  take(At<uint64_t>(tables["FACP"], 140));
  return tables;
}

TEST(AcpiTest, TablesAreFoundAndChecksumsAreGood) {
  const MmioDevice devices[] = {{0xd0000000, 0x200, 5}, {0xd0001000, 0x200, 6}};
  auto tables = Walk(BuildAcpiTables(kAddress, 3, devices));
  ASSERT_EQ(tables.size(), 4u);  // XSDT, FACP, APIC, DSDT

  const std::string& fadt = tables["FACP"];
  ASSERT_EQ(fadt.size(), 276u);
  EXPECT_EQ(At<uint32_t>(fadt, 112),
            1u << 20 | 1u << 10);  // hardware-reduced, with a reset register
  EXPECT_EQ(At<uint64_t>(fadt, 116 + 4), kResetPort);
  EXPECT_EQ(At<uint8_t>(fadt, 128), kResetValue);
  EXPECT_EQ(At<uint64_t>(fadt, 244 + 4), kSleepControlPort);
  EXPECT_EQ(At<uint64_t>(fadt, 256 + 4), kSleepStatusPort);

  const std::string& madt = tables["APIC"];
  int processors = 0;
  int io_apics = 0;
  for (size_t at = 44; at < madt.size(); at += At<uint8_t>(madt, at + 1)) {
    if (madt[at] == 0) {
      EXPECT_EQ(At<uint8_t>(madt, at + 3), processors++);
    }
    if (madt[at] == 1) ++io_apics;
  }
  EXPECT_EQ(processors, 3);
  EXPECT_EQ(io_apics, 1);

  const std::string& dsdt = tables["DSDT"];
  EXPECT_THAT(dsdt, HasSubstr("V000"));
  EXPECT_THAT(dsdt, HasSubstr("V001"));
  EXPECT_THAT(dsdt, HasSubstr("QEMU0001"));
  // Name(_CRS, ResourceTemplate() { Memory32Fixed(...), Interrupt(...) { 6 } }) as iasl compiles
  // it.
  EXPECT_THAT(dsdt, HasSubstr("\x08_CRS\x11\x1a\x0a\x17"
                              "\x86\x09\x00\x01\x00\x10\x00\xd0\x00\x02\x00\x00"
                              "\x89\x06\x00\x03\x01\x06\x00\x00\x00"
                              "\x79\x00"s));
}

TEST(AmlTest, LengthsOfAllSizes) {
  // PkgLength counts itself: 1 byte up to 63, 2 up to 4095, 3 beyond.
  EXPECT_EQ(aml::Device("ABCD", std::string(58, 'x')).substr(2, 1), "\x3f");
  EXPECT_EQ(aml::Device("ABCD", std::string(59, 'x')).substr(2, 2), "\x41\x04");
  EXPECT_EQ(aml::Device("ABCD", std::string(4089, 'x')).substr(2, 2), "\x4f\xff");
  EXPECT_EQ(aml::Device("ABCD", std::string(4090, 'x')).substr(2, 3), "\x81\x00\x01"s);
}

TEST(AmlTest, IntegersAreAsShortAsTheyCanBe) {
  EXPECT_EQ(aml::Integer(0), "\x00"s);
  EXPECT_EQ(aml::Integer(1), "\x01");
  EXPECT_EQ(aml::Integer(0xff), "\x0a\xff");
  EXPECT_EQ(aml::Integer(0x100), "\x0c\x00\x01\x00\x00"s);
}

}  // namespace
}  // namespace holt::vmm
