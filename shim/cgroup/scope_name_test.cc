#include "shim/cgroup/scope_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shim/cgroup/place.h"

namespace holt::shim {
namespace {

using ::testing::HasSubstr;

std::string Place(std::string_view path, std::string_view id = "c1") {
  auto name = ParseScopeName(path, id);
  if (!name) return "error: " + name.error().message();
  EXPECT_EQ(ScopeAt(name->place), *name);
  EXPECT_TRUE(IsPlace(name->place)) << name->place;
  return name->place;
}

TEST(ScopeNameTest, SlicePrefixAndName) {
  EXPECT_EQ(Place("machine.slice:libpod:12"), "/machine.slice/libpod-12.scope");
  EXPECT_EQ(Place("a-b-c.slice:p:n"), "/a.slice/a-b.slice/a-b-c.slice/p-n.scope");
  EXPECT_EQ(Place("-.slice:p:n"), "/p-n.scope");
  EXPECT_EQ(Place("a.slice::n"), "/a.slice/n.scope");
  EXPECT_EQ(Place("a.slice:p:n.scope"), "/a.slice/p-n.scope");
  EXPECT_EQ(Place(R"(a.slice:p:x\x2b1)"), R"(/a.slice/p-x\x2b1.scope)");
}

TEST(ScopeNameTest, WithoutASliceItIsTheSystems) {
  EXPECT_EQ(Place(":docker:12"), "/system.slice/docker-12.scope");
  EXPECT_EQ(Place(""), "/system.slice/holt-c1.scope");
  EXPECT_EQ(Place("", "a+b"), R"(/system.slice/holt-a\x2bb.scope)") << "units have no +";
}

TEST(ScopeNameTest, WhatIsNoneIsAnErrorThatNamesTheProperty) {
  for (auto [path, why] : std::initializer_list<std::pair<std::string, std::string>>{
           {"/a/b", "not of the form slice:prefix:name"},
           {"a.slice:b", "not of the form slice:prefix:name"},
           {"a.slice:b:c:d", "not of the form slice:prefix:name"},
           {"a:b:c", "\"a\" is no name of a slice"},
           {"a.slice/b.slice:c:d", "no name of a slice"},
           {"../x.slice:c:d", "no name of a slice"},
           {".slice:c:d", "no name of a slice"},
           {"-a.slice:c:d", "no name of a slice"},
           {"a-.slice:c:d", "no name of a slice"},
           {"a--b.slice:c:d", "no name of a slice"},
           {"a b.slice:c:d", "no name of a slice"},
           {"a.slice:b:", "has no name"},
           {"a.slice:b:../c", "no name of a scope"},
           {"a.slice:b:c d", "no name of a scope"},
           {"a.slice:b:c\n", "no name of a scope"},
           {"a.slice::.scope", "no name of a scope"},
           {"a.slice:b:c@d", "no name of a scope"},
           {"a.slice:b:c.slice", "is a slice"},
           {"a.slice:b:" + std::string(250, 'c'), "no name of a scope"},
           {std::string(300, 'a') + ".slice:b:c", "no name of a slice"}})
    EXPECT_THAT(Place(path),
                ::testing::AllOf(HasSubstr("error: linux.cgroupsPath: "), HasSubstr(why)))
        << path;
}

}  // namespace
}  // namespace holt::shim
