#include "shim/network/user_network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

namespace holt::shim::network {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;

TEST(UserNetworkTest, PasstGetsWhatWasParsedAndNothingElse) {
  auto argv = PasstArgv("/usr/bin/passt", 3, 77, {.ipv4 = true},
                        {*ParsePublished("127.0.0.1:8080:80"), *ParsePublished("53-54:63-64")});
  EXPECT_THAT(argv, Contains("127.0.0.1/8080:80"));
  EXPECT_THAT(argv, Contains("53-54:63-64"));
  EXPECT_THAT(argv, Contains("77:77"));
  EXPECT_THAT(argv, Contains("--no-map-gw")) << "or the host's loopback is the gateway";
  EXPECT_THAT(argv, Contains("--ipv4-only"));
  argv.erase(argv.begin(), std::find(argv.begin(), argv.end(), "--udp-ports"));
  EXPECT_THAT(argv, ElementsAre("--udp-ports", "none")) << "TCP's numbers are not UDP's, too";
  argv = PasstArgv("/usr/bin/passt", 3, 77, {.ipv4 = true, .ipv6 = true},
                   {*ParsePublished("[::1]:53:5353/udp")});
  EXPECT_THAT(argv, IsSupersetOf({"--udp-ports", "::1/53:5353", "10.0.2.15", "fe80::2"}));
  EXPECT_THAT(argv, Not(Contains("none")));
  EXPECT_THAT(argv, Not(Contains("--ipv4-only")));
  EXPECT_THAT(PasstArgv("/usr/bin/passt", 3, 77, {.ipv6 = true}, {}), Contains("--ipv6-only"));
}

TEST(UserNetworkTest, TheGuestHasTheFamiliesOfTheHost) {
  auto both = UserNetworkConfig({.ipv4 = true, .ipv6 = true});
  EXPECT_EQ(both.routes_size(), 2);
  EXPECT_EQ(both.interfaces(0).addresses_size(), 3) << "with the link-local one";
  auto one = UserNetworkConfig({.ipv4 = true});
  ASSERT_EQ(one.routes_size(), 1);
  EXPECT_EQ(one.routes(0).family(), uint32_t{AF_INET});
  EXPECT_EQ(one.interfaces(0).addresses_size(), 1);
}

TEST(UserNetworkTest, ResolversArePasstWhereTheHostHasSome) {
  const std::string host =
      "# x\nnameserver 192.0.2.1\nsearch a.example b.example\noptions ndots:2\nsortlist x\n";
  const std::string text = UserResolvConf({.ipv4 = true, .ipv6 = true}, host);
  EXPECT_EQ(text, "nameserver 10.0.2.3\nsearch a.example b.example\noptions ndots:2\n");
  EXPECT_EQ(UserResolvConf({.ipv4 = true, .ipv6 = true}, "nameserver fd00::1"),
            "nameserver fd68:6f6c:7400::3\n");
  EXPECT_THAT(UserResolvConf({.ipv4 = true}, "nameserver fd00::1\n"), Not(HasSubstr("nameserver")));
}

}  // namespace
}  // namespace holt::shim::network
