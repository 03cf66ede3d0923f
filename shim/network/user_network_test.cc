#include "shim/network/user_network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holt::shim::network {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

TEST(UserNetworkTest, PortsAreReadAsDockerWritesThem) {
  auto plain = ParsePublished("8080:80");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->host, 8080);
  EXPECT_EQ(plain->guest, 80);
  auto whole = ParsePublished("127.0.0.1:53:5353/tcp");
  ASSERT_TRUE(whole.ok());
  EXPECT_EQ(whole->address, "127.0.0.1");
  EXPECT_EQ(whole->host, 53);
}

TEST(UserNetworkTest, WhatIsNoPortIsRefusedByName) {
  const std::pair<const char*, const char*> cases[] = {
      {"80", "[ADDRESS:]HOST"},     {"0:80", "\"0\" is not a port"}, {"80:65536", "\"65536\""},
      {"80:", "\"\" is not"},       {":80", "\"\" is not"},          {"a:80:80", "\"a\""},
      {"1.2.3:80:80", "\"1.2.3\""}, {"80:80/udp", "\"udp\""},        {"8000-8010:80", "8000-8010"},
      {"-t:80:80", "\"-t\""},
  };
  for (const auto& [text, expected] : cases) {
    auto parsed = ParsePublished(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_THAT(parsed.error().message(), HasSubstr(expected)) << text;
  }
}

TEST(UserNetworkTest, PasstGetsWhatWasParsedAndNothingElse) {
  auto argv = PasstArgv("/usr/bin/passt", 3, 77,
                        {*ParsePublished("127.0.0.1:8080:80"), *ParsePublished("53:53")});
  EXPECT_THAT(argv, Contains("127.0.0.1/8080:80"));
  EXPECT_THAT(argv, Contains("53:53"));
  EXPECT_THAT(argv, Contains("77:77"));
  EXPECT_THAT(argv, Contains("--no-map-gw")) << "or the host's loopback is the gateway";
}

}  // namespace
}  // namespace holt::shim::network
