// What a kernel may answer, odd or hostile; real answers are the end-to-end tests'.
#include "shim/network/scan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cstring>

#include "shim/network/attachment.h"

namespace holt::shim::network {
namespace {

using base::Code;
using base::NetlinkMessage;
using base::NetlinkRequest;
using ::testing::HasSubstr;

// A request's bytes are an answer's.
NetlinkMessage Answer(uint16_t type, const NetlinkRequest& request) {
  NetlinkMessage message;
  message.type = type;
  message.payload.assign(request.bytes().begin() + sizeof(nlmsghdr), request.bytes().end());
  return message;
}

struct LinkSpec {
  int index = 2;
  unsigned flags = IFF_UP;
  uint16_t type = ARPHRD_ETHER;
  std::string name = "eth0";
  std::string mac = "\x02\x42\xac\x11\x01\x02";
  int master = 0;
};
NetlinkMessage Link(const LinkSpec& spec) {
  NetlinkRequest request(RTM_NEWLINK);
  ifinfomsg header{};
  header.ifi_index = spec.index;
  header.ifi_flags = spec.flags;
  header.ifi_type = spec.type;
  request.Header(header);
  request.String(IFLA_IFNAME, spec.name);
  request.Bytes(IFLA_ADDRESS, spec.mac);
  request.Value<uint32_t>(IFLA_MTU, 1500);
  if (spec.master != 0) request.Value<int32_t>(IFLA_MASTER, spec.master);
  return Answer(RTM_NEWLINK, request);
}

struct RouteSpec {
  uint8_t table = RT_TABLE_MAIN;
  uint8_t protocol = RTPROT_BOOT;
  uint8_t type = RTN_UNICAST;
  int interface = 2;
  bool multipath = false;
  unsigned flags = 0;
};
NetlinkMessage Route(const RouteSpec& spec) {
  NetlinkRequest request(RTM_NEWROUTE);
  rtmsg header{};
  header.rtm_family = AF_INET;
  header.rtm_table = spec.table;
  header.rtm_protocol = spec.protocol;
  header.rtm_type = spec.type;
  header.rtm_flags = spec.flags;
  request.Header(header);
  request.Value<int32_t>(RTA_OIF, spec.interface);
  request.Bytes(RTA_GATEWAY, "\x0a\x01\x01\x01");
  if (spec.multipath) request.Bytes(RTA_MULTIPATH, "x");
  return Answer(RTM_NEWROUTE, request);
}

TEST(ScanTest, WhatIsNotAnInterfaceOfTheContainersIsLeftOut) {
  Answers answers;
  answers.links = {
      Link({.index = 1, .flags = IFF_UP | IFF_LOOPBACK, .type = ARPHRD_LOOPBACK}),
      Link({.index = 3, .flags = 0, .type = ARPHRD_TUNNEL, .name = "tunl0", .mac = ""}),
      Link({.index = 4, .name = "holt0"}), Link({.index = 5, .master = 6}), Link({})};
  auto scan = ReadAnswers(answers, {4});
  ASSERT_TRUE(scan.ok()) << scan.error().message();
  ASSERT_EQ(scan->config.interfaces_size(), 1);
  EXPECT_EQ(scan->config.interfaces(0).name(), "eth0");
  EXPECT_EQ(scan->indexes, std::vector<int>{2});
}

TEST(ScanTest, WhatAMachineCannotHaveIsAnErrorThatNamesIt) {
  Answers answers;
  answers.links = {Link({.type = ARPHRD_NONE, .name = "wg0", .mac = ""})};
  auto tunnel = ReadAnswers(answers, {});
  ASSERT_TRUE(tunnel.ok());
  ASSERT_EQ(tunnel->refused.size(), 1u);
  EXPECT_EQ(tunnel->refused[0].code(), Code::kUnsupported);
  EXPECT_THAT(tunnel->refused[0].message(), HasSubstr("wg0"));
  EXPECT_EQ(tunnel->config.interfaces_size(), 0);
  answers.links = {Link({})};
  answers.routes = {Route({.multipath = true}), Route({})};
  auto hops = ReadAnswers(answers, {});
  ASSERT_TRUE(hops.ok());
  ASSERT_EQ(hops->refused.size(), 1u);
  EXPECT_THAT(hops->refused[0].message(), HasSubstr("several next hops"));
  EXPECT_EQ(hops->config.routes_size(), 1) << "the others are had";
}

NetlinkMessage Rule(uint32_t priority, const std::string& interface = "", uint16_t unknown = 0) {
  NetlinkRequest request(RTM_NEWRULE);
  fib_rule_hdr header{};
  header.family = AF_INET;
  header.action = FR_ACT_TO_TBL;
  header.flags = FIB_RULE_INVERT | FIB_RULE_IIF_DETACHED;
  request.Header(header);
  request.Value(FRA_PRIORITY, priority);
  if (!interface.empty()) request.String(FRA_IIFNAME, interface);
  if (unknown != 0) request.Value<uint32_t>(unknown, 1);
  return Answer(RTM_NEWRULE, request);
}

TEST(ScanTest, RulesBesideTheKernelsAreSaidAsTheyAre) {
  Answers answers;
  answers.rules = {Rule(0), Rule(32766), Rule(32767), Rule(100), Rule(32766, "eth0")};
  auto rules = ReadAnswers(answers, {});
  ASSERT_TRUE(rules.ok());
  ASSERT_EQ(rules->config.rules_size(), 2);
  const std::string& said = rules->config.rules(0).message();
  ASSERT_EQ(said.size(), answers.rules[3].payload.size());
  fib_rule_hdr header;
  std::memcpy(&header, said.data(), sizeof header);
  EXPECT_EQ(header.flags, uint32_t{FIB_RULE_INVERT}) << "what the kernel found out is not said";
  EXPECT_EQ(said.substr(sizeof header),
            std::string(reinterpret_cast<const char*>(answers.rules[3].payload.data()), said.size())
                .substr(sizeof header));
  answers.rules = {Rule(100, "", FRA_DPORT_RANGE + 1)};
  rules = ReadAnswers(answers, {});
  ASSERT_TRUE(rules.ok());
  EXPECT_EQ(rules->config.rules_size(), 0) << "half of a rule is another rule";
  ASSERT_EQ(rules->refused.size(), 1u);
  EXPECT_THAT(rules->refused[0].message(), HasSubstr("rule of priority 100"));
}

TEST(ScanTest, HowMuchAMachineTakesIsBounded) {
  Answers answers;
  answers.links = {Link({})};
  answers.routes.assign(kMaxEntries, Route({}));
  EXPECT_TRUE(ReadAnswers(answers, {}).ok());
  answers.rules = {Rule(0)};
  EXPECT_EQ(ReadAnswers(answers, {}).error().code(), Code::kResourceExhausted);
}

TEST(ScanTest, OddAnswersAreErrors) {
  Answers answers;
  answers.links = {Link({.mac = "\x02"})};
  EXPECT_EQ(ReadAnswers(answers, {}).error().code(), Code::kDataLoss);
  answers.links = {Link({.name = ""})};
  EXPECT_FALSE(ReadAnswers(answers, {}).ok());
  answers.links = {{RTM_NEWLINK, std::vector<std::byte>(3)}};
  EXPECT_FALSE(ReadAnswers(answers, {}).ok());
  answers.links = {{RTM_NEWLINK, std::vector<std::byte>(20, std::byte{0xff})}};
  EXPECT_FALSE(ReadAnswers(answers, {}).ok()) << "an attribute beyond the end";
}

TEST(ScanTest, RoutesThatAddressesMakeAreNotSaidTwice) {
  Answers answers;
  answers.links = {Link({})};
  answers.routes = {Route({.table = RT_TABLE_LOCAL}),
                    Route({.protocol = RTPROT_KERNEL}),
                    Route({.type = RTN_MULTICAST}),
                    Route({.interface = 77}),
                    Route({.flags = RTM_F_CLONED}),
                    Route({}),
                    Route({.type = RTN_BLACKHOLE, .interface = 1})};
  auto scan = ReadAnswers(answers, {});
  ASSERT_TRUE(scan.ok()) << scan.error().message();
  ASSERT_EQ(scan->config.routes_size(), 2);
  EXPECT_EQ(scan->config.routes(0).interface(), "eth0");
  EXPECT_EQ(scan->config.routes(0).gateway(), "\x0a\x01\x01\x01");
  EXPECT_EQ(scan->config.routes(1).interface(), "") << "the one that refuses needs none";
}

TEST(ScanTest, AddressesKeepWhatMattersInTheGuest) {
  Answers answers;
  answers.links = {Link({})};
  auto address = [](uint32_t flags, const char* local, const char* peer) {
    NetlinkRequest request(RTM_NEWADDR);
    ifaddrmsg header{};
    header.ifa_family = AF_INET;
    header.ifa_prefixlen = 32;
    header.ifa_index = 2;
    request.Header(header);
    request.Bytes(IFA_LOCAL, local);
    request.Bytes(IFA_ADDRESS, peer);
    request.Value<uint32_t>(IFA_FLAGS, flags);
    return Answer(RTM_NEWADDR, request);
  };
  answers.addresses = {
      address(IFA_F_PERMANENT | IFA_F_TENTATIVE | IFA_F_NOPREFIXROUTE, "aaaa", "aaaa"),
      address(IFA_F_DADFAILED, "cccc", "cccc"), address(0, "dddd", "eeee")};
  auto scan = ReadAnswers(answers, {});
  ASSERT_TRUE(scan.ok()) << scan.error().message();
  const auto& interface = scan->config.interfaces(0);
  ASSERT_EQ(interface.addresses_size(), 2) << "one that somebody else has is left out";
  EXPECT_EQ(interface.addresses(0).flags(), uint32_t{IFA_F_NOPREFIXROUTE});
  EXPECT_EQ(interface.addresses(0).peer(), "");
  EXPECT_EQ(interface.addresses(1).peer(), "eeee");
}

TEST(ScanTest, OnlyNeighboursThatStayAreSaid) {
  Answers answers;
  answers.links = {Link({})};
  auto neighbour = [](uint16_t state, const char* mac) {
    NetlinkRequest request(RTM_NEWNEIGH);
    ndmsg header{};
    header.ndm_family = AF_INET;
    header.ndm_ifindex = 2;
    header.ndm_state = state;
    request.Header(header);
    request.Bytes(NDA_DST, "\x0a\x01\x01\x01");
    request.Bytes(NDA_LLADDR, mac);
    return Answer(RTM_NEWNEIGH, request);
  };
  answers.neighbours = {neighbour(NUD_PERMANENT, "abcdef"), neighbour(NUD_REACHABLE, "abcdef"),
                        neighbour(NUD_PERMANENT, "abc")};
  auto scan = ReadAnswers(answers, {});
  ASSERT_TRUE(scan.ok()) << scan.error().message();
  EXPECT_EQ(scan->config.neighbours_size(), 1);
}

TEST(AttachmentTest, TheAnnotationIsASmallNumber) {
  EXPECT_EQ(*ParseDevices("8"), 8u);
  EXPECT_EQ(*ParseDevices("0"), 0u);
  for (const char* text : {"", "9", "-1", "1 ", "x", "99999999999999999999"})
    EXPECT_THAT(ParseDevices(text).error().message(), HasSubstr("holt.network-devices")) << text;
}

}  // namespace
}  // namespace holt::shim::network
