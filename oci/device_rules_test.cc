#include "oci/device_rules.h"

#include <gtest/gtest.h>

namespace holt::oci {
namespace {

constexpr DeviceNumber kLoop3{7, 3};

TEST(DeviceRules, TheLastThatSpeaksDecidesForEachLetter) {
  EXPECT_EQ(AllowedAccess({}, kLoop3), "");
  std::vector<DeviceRule> rules = {{.allow = false}, BlockDeviceRule(true, kLoop3, "rw")};
  EXPECT_EQ(AllowedAccess(rules, kLoop3), "rw");
  EXPECT_EQ(AllowedAccess(rules, {7, 4}), "");
  rules.push_back(BlockDeviceRule(false, kLoop3, "w"));
  EXPECT_EQ(AllowedAccess(rules, kLoop3), "r");
  rules.push_back({.allow = true, .type = "c", .major = 7, .minor = 3, .access = "rwm"});
  EXPECT_EQ(AllowedAccess(rules, kLoop3), "r") << "another type";
  rules.push_back({.allow = true, .type = "b", .major = 7});
  EXPECT_EQ(AllowedAccess(rules, kLoop3), "rwm") << "any minor, all access";
  rules.push_back({.allow = false, .type = "a", .major = 1, .access = "r"});
  EXPECT_EQ(AllowedAccess(rules, kLoop3), "") << "\"a\" is about everything";
}

TEST(DeviceRules, WhatIsPrivilegedIsKnown) {
  EXPECT_FALSE(AllowsEveryDevice({}));
  EXPECT_FALSE(AllowsEveryDevice({{.allow = true, .type = "b"}, {.allow = true, .type = "c"}}));
  EXPECT_TRUE(AllowsEveryDevice({{.allow = false}, {.allow = true, .access = "rwm"}}));
  EXPECT_FALSE(AllowsEveryDevice({{.allow = true}, {.allow = false}}));
}

}  // namespace
}  // namespace holt::oci
