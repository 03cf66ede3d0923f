#include "shim/run/devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holt::shim {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(std::string_view text) {
  auto device = ParseDevice(text);
  return device ? std::string("accepted") : device.error().message();
}

TEST(Devices, WhatIsNoBlockDeviceIsNamed) {
  EXPECT_THAT(ErrorOf("/dev/null"), HasSubstr("/dev/null: is no block device"));
  EXPECT_THAT(ErrorOf("/etc/passwd"), HasSubstr("/etc/passwd: is no block device"));
  EXPECT_THAT(ErrorOf("/dev/holt-none:/dev/x:r"), HasSubstr("/dev/holt-none: No such file"));
}

TEST(Devices, WhatIsWrittenWronglyIsNamed) {
  for (const char* bad :
       {"", ":", "/dev/null:", "/dev/null:x", "/dev/null:/a:/b", "/dev/null:/a:/b:r",
        "/dev/null:/a:rx", "/dev/null:/a:rwmr", "dev/null:rw:x"})
    EXPECT_THAT(ErrorOf(bad), HasSubstr("write HOST[:PATH][:rwm]")) << bad;
}

}  // namespace
}  // namespace holt::shim
