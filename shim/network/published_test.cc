#include "shim/network/published.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "base/unique_fd.h"

namespace holt::shim::network {
namespace {

using base::Code;
using ::testing::HasSubstr;

TEST(PublishedTest, PortsAreReadAsDockerWritesThem) {
  auto plain = ParsePublished("8080:80");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->host, 8080);
  EXPECT_EQ(plain->guest, 80);
  EXPECT_EQ(plain->count, 1);
  EXPECT_FALSE(plain->udp);
  auto whole = ParsePublished("127.0.0.1:53:5353/udp");
  ASSERT_TRUE(whole.ok());
  EXPECT_EQ(whole->address, "127.0.0.1");
  EXPECT_EQ(whole->host, 53);
  EXPECT_TRUE(whole->udp);
  auto range = ParsePublished("[::1]:8000-8010:9000-9010/tcp");
  ASSERT_TRUE(range.ok()) << range.error().message();
  EXPECT_EQ(range->address, "::1");
  EXPECT_EQ(range->host, 8000);
  EXPECT_EQ(range->guest, 9000);
  EXPECT_EQ(range->count, 11);
}

TEST(PublishedTest, WhatIsNoPortIsRefusedByName) {
  const std::pair<const char*, const char*> cases[] = {
      {"80", "[ADDRESS:]HOST"},
      {"0:80", "\"0\" is not a port"},
      {"80:65536", "\"65536\""},
      {"80:", "\"\" is not"},
      {":80", "\"\" is not"},
      {"a:80:80", "\"a\" is not an IPv4"},
      {"1.2.3:80:80", "\"1.2.3\""},
      {"80:80/sctp", "\"sctp\""},
      {"8000-8010:80", "11 ports cannot lead to 1"},
      {"8010-8000:80-90", "\"8010-8000\" is not a range"},
      {"1-:1-2", "\"\" is not a port"},
      {"-t:80:80", "\"-t\""},
      {"::1:80:80", "stands in brackets"},
      {"[::1:80:80", "\"[::1:80:80\""},
      {"[1.2.3.4]:80:80", "not an IPv6"},
      {"[::1]:80", "[ADDRESS:]HOST"},
  };
  for (const auto& [text, expected] : cases) {
    auto parsed = ParsePublished(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_THAT(parsed.error().message(), HasSubstr(expected)) << text;
  }
}

TEST(PublishedTest, APortThatIsTakenOrCannotBeHadIsNamed) {
  base::UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(socket.get(), 1), 0);
  socklen_t size = sizeof address;
  ASSERT_EQ(getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::string port = std::to_string(ntohs(address.sin_port));
  auto check = [](const std::string& text, bool ipv6 = true) {
    return CheckPublished({*ParsePublished(text)}, true, ipv6);
  };
  auto taken = check("127.0.0.1:" + port + ":80");
  ASSERT_FALSE(taken.ok());
  EXPECT_THAT(taken.error().message(),
              HasSubstr("publish port " + port + "/tcp of 127.0.0.1: Address already in use"));
  EXPECT_FALSE(check(port + ":80").ok()) << "all addresses are that one, too";
  EXPECT_EQ(check("127.0.0.1:" + port + ":80/udp").error().code(), Code::kUnsupported);
  EXPECT_THAT(check("198.51.100.1:80:80").error().message(),
              HasSubstr("port 80/tcp of 198.51.100.1: Cannot assign requested address"));
  EXPECT_THAT(check("[::1]:" + port + ":80", false).error().message(), HasSubstr("no IPv6"));
}

TEST(PublishedTest, APortLeadsToOnePlace) {
  auto two = [](const char* first, const char* second) {
    return CheckPublished({*ParsePublished(first), *ParsePublished(second)}, true, false);
  };
  auto clash = two("127.0.0.1:45123-45125:80-82", "127.0.0.2:45124:80");
  ASSERT_FALSE(clash.ok());
  EXPECT_EQ(clash.error().code(), Code::kAlreadyExists);
  EXPECT_THAT(clash.error().message(), HasSubstr("port 45124/tcp: leads to 81 already"));
  EXPECT_TRUE(two("127.0.0.1:45123:80", "127.0.0.2:45123:80").ok());
  EXPECT_TRUE(two("127.0.0.1:45123:80", "45123:81/udp").ok());
}

}  // namespace
}  // namespace holt::shim::network
