#include "shim/run/conmon.h"

#include <gtest/gtest.h>

namespace holt::shim {
namespace {

using std::literals::operator""sv;

TEST(Conmon, SaysWhereItsEngineLooks) {
  EXPECT_EQ(
      ConmonsPersistDir("/usr/bin/conmon\0--api-version\0001\0--persist-dir\0/run/p/1\0-b\0/b\0"sv),
      "/run/p/1");
  EXPECT_EQ(ConmonsPersistDir("conmon\0--persist-dir\0/run/p/1\0"sv), "/run/p/1");
  EXPECT_EQ(ConmonsPersistDir("conmon\0--persist-dir\0/run/p/1"sv), "/run/p/1");
}

TEST(Conmon, OthersSayNothing) {
  EXPECT_EQ(ConmonsPersistDir(""), "");
  EXPECT_EQ(ConmonsPersistDir("/usr/bin/conmon\0-b\0/b\0"sv), "") << "an older Podman's";
  EXPECT_EQ(ConmonsPersistDir("/usr/bin/conmon\0--persist-dir\0"sv), "");
  EXPECT_EQ(ConmonsPersistDir("/usr/bin/conmon\0--persist-dir\0relative\0"sv), "");
  EXPECT_EQ(ConmonsPersistDir("/usr/bin/other\0--persist-dir\0/run/p/1\0"sv), "");
}

}  // namespace
}  // namespace holt::shim
