#include "vmm/devices/platform.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "vmm/boot/acpi.h"

namespace holt::vmm {
namespace {

class PlatformTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(platform_.AddTo(bus_).ok()); }
  void Out(uint16_t port, uint8_t value) {
    const auto byte = std::byte{value};
    bus_.Write(port, std::span(&byte, 1));
  }
  uint8_t In(uint16_t port) {
    std::byte byte{};
    bus_.Read(port, std::span(&byte, 1));
    return std::to_integer<uint8_t>(byte);
  }
  std::vector<PlatformPorts::Event> events_;
  std::string serial_;
  PlatformPorts platform_{{.on_event = [this](auto event) { events_.push_back(event); },
                           .on_serial = [this](std::string_view bytes) { serial_ += bytes; }}};
  Bus bus_;
};

TEST_F(PlatformTest, SleepAndResetAreToldApart) {
  Out(kSleepStatusPort, 0x80);  // what ACPICA clears first
  Out(kSleepControlPort, 0x34 & ~kSleepEnable);
  Out(kResetPort, 0);
  EXPECT_TRUE(events_.empty());
  Out(kSleepControlPort, kSleepTypeS5 << 2 | kSleepEnable);
  Out(kResetPort, kResetValue);
  EXPECT_EQ(events_, (std::vector{PlatformPorts::Event::kPowerOff, PlatformPorts::Event::kReset}));
  EXPECT_EQ(In(kSleepStatusPort), 0);
}

TEST_F(PlatformTest, PvpanicSaysWhatItKnows) {
  EXPECT_EQ(In(kPvpanicPort), 1);
  Out(kPvpanicPort, 2);  // a crash kernel was loaded: nothing to us
  EXPECT_TRUE(events_.empty());
  Out(kPvpanicPort, 1);
  EXPECT_EQ(events_.size(), 1u);
}

TEST_F(PlatformTest, SerialPortHasTheLastWordsAndNoDivisor) {
  Out(0x3fb, 0x83);
  Out(0x3f8, 1);  // the divisor
  Out(0x3fb, In(0x3fb) & 0x7f);
  for (char c : std::string("dead\n")) {
    EXPECT_EQ(In(0x3fd) & 0x20, 0x20);
    Out(0x3f8, static_cast<uint8_t>(c));
  }
  EXPECT_EQ(serial_, "dead\n");
  EXPECT_EQ(In(0x60), 0xff) << "nothing answers where an i8042 would be";
}

}  // namespace
}  // namespace holt::vmm
