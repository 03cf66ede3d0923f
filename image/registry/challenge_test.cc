#include "image/registry/challenge.h"

#include <gtest/gtest.h>

namespace holt::image::registry {
namespace {

TEST(Challenge, ReadsWhatDockerHubSends) {
  auto found = ParseChallenges(
      R"(Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push")");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].scheme, "bearer");
  EXPECT_EQ(found[0].Value("realm"), "https://auth.docker.io/token");
  EXPECT_EQ(found[0].Value("service"), "registry.docker.io");
  EXPECT_EQ(found[0].Value("scope"), "repository:a/b:pull,push");
}

TEST(Challenge, ReadsSeveralWithOddSpacingAndEscapes) {
  auto found = ParseChallenges(R"(  BASIC Realm = "a \"b\"\\" , ,Bearer realm=x ,error="y")");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].scheme, "basic");
  EXPECT_EQ(found[0].Value("realm"), R"(a "b"\)");
  EXPECT_EQ(found[1].Value("realm"), "x");
  EXPECT_EQ(found[1].Value("error"), "y");
}

TEST(Challenge, EndsWhereItCannotRead) {
  EXPECT_TRUE(ParseChallenges("").empty());
  EXPECT_TRUE(ParseChallenges("realm=\"x\"").empty());
  EXPECT_TRUE(ParseChallenges("\x01\x02").empty());
  auto open = ParseChallenges("Bearer realm=\"never closed");
  ASSERT_EQ(open.size(), 1u);
  EXPECT_EQ(open[0].Value("realm"), "");
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "Basic,";
  EXPECT_EQ(ParseChallenges(many).size(), 16u);
}

}  // namespace
}  // namespace holt::image::registry
