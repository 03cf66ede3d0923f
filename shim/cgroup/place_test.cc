#include "shim/cgroup/place.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"

namespace holt::shim {
namespace {

using ::testing::HasSubstr;

std::string Place(std::string_view path, std::string_view own = "/user.slice/session.scope") {
  auto place = ResolvePlace(path, "c1", own);
  return place ? *place : "error: " + place.error().message();
}

TEST(PlaceTest, EmptyIsHoltsOwn) { EXPECT_EQ(Place(""), "/holt/c1"); }

TEST(PlaceTest, AbsoluteIsBelowTheHierarchy) {
  EXPECT_EQ(Place("/libpod_parent/libpod-1"), "/libpod_parent/libpod-1");
  EXPECT_EQ(Place("//a//b/"), "/a/b");
  EXPECT_EQ(Place("/system.slice:docker:1"), "/system.slice:docker:1");
}

TEST(PlaceTest, RelativeIsBesideTheRuntimesOwn) {
  EXPECT_EQ(Place("a/b"), "/user.slice/a/b");
  EXPECT_EQ(Place("a", "/one"), "/a");
  EXPECT_EQ(Place("a", "/"), "/a");
}

TEST(PlaceTest, DotsNeverLeadOut) {
  EXPECT_EQ(Place("/../../etc"), "/etc");
  EXPECT_EQ(Place("/a/../../b"), "/b");
  EXPECT_EQ(Place("../../../b"), "/user.slice/b");
}

TEST(PlaceTest, WhatIsNoPlaceIsAnErrorThatNamesTheProperty) {
  const std::string long_name(300, 'x');
  std::string long_path;
  while (long_path.size() < 4096) long_path += "/abcdefghi";
  for (const std::string& path :
       {std::string("/"), std::string("/.."), std::string("/a/.."), std::string("/a\nb"),
        std::string("/a\0b", 4), "/" + long_name, long_path})
    EXPECT_THAT(Place(path), HasSubstr("error: linux.cgroupsPath")) << path;
}

TEST(PlaceTest, IsPlaceTakesOnlyCleanPaths) {
  EXPECT_TRUE(IsPlace("/a/b"));
  for (std::string_view path : {"", "/", "a", "/a/", "/a//b", "/a/../b", "/.", "/a\nb"})
    EXPECT_FALSE(IsPlace(path)) << path;
}

TEST(PlaceTest, OwnCgroupIsWhereTheKernelSays) {
  auto own = OwnCgroup();
  auto text = base::ReadFile("/proc/self/cgroup");
  ASSERT_TRUE(text.ok());
  if (text->find("0::") == std::string::npos) {
    EXPECT_FALSE(own.ok());
  } else {
    ASSERT_TRUE(own.ok()) << own.error().message();
    EXPECT_THAT(*text, HasSubstr("0::" + *own + "\n"));
  }
}

}  // namespace
}  // namespace holt::shim
