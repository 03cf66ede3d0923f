// What changes in the network namespace of a container that runs.

#include "tests/e2e/network_fixture.h"

namespace holt {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

class NetworkChangeTest : public NetworkTest {
 protected:
  // Until the container shows it, or does not any more.
  testing::AssertionResult Shows(const std::string& command, const std::string& what,
                                 bool wanted = true) {
    std::string seen;
    for (int i = 0; i < 100; ++i) {
      seen = Holt({"exec", "c", "sh", "-c", command}).out;
      if ((seen.find(what) != std::string::npos) == wanted) return testing::AssertionSuccess();
      usleep(50'000);
    }
    return testing::AssertionFailure()
           << what << (wanted ? " is missing in " : " is still in ") << seen << Log();
  }
  std::string Log() { return base::ReadFile(root_ + "/c/monitor.log").value_or(""); }
};

TEST_F(NetworkChangeTest, AnInterfaceThatArrivesIsThereAndOneThatGoesIsNot) {
  AddInterface("eth0", 1);
  StartSleeper();
  EXPECT_EQ(Inside("ls /sys/class/net"), "eth0\nlo\n") << "devices for later are not to be seen";
  AddInterface("late", 2, 1400);
  Here("route add 198.51.100.0/24 via 10.9.2.1");
  Here("link set late address 02:42:0a:09:02:02");
  ASSERT_TRUE(Shows("cat /proc/net/route", "late\t006433C6\t0102090A"));
  EXPECT_EQ(Inside("/net_probe ping 10.9.2.1"), "answered\n");
  EXPECT_EQ(ProbeThere("ping 10.9.2.2")->Finish().out, "answered\n");
  EXPECT_EQ(Inside("/net_probe ping fd09:2::1"), "answered\n");
  EXPECT_EQ(Inside("cat /sys/class/net/late/mtu /sys/class/net/late/address"),
            "1400\n02:42:0a:09:02:02\n");

  There("link del there2");
  ASSERT_TRUE(Shows("ls /sys/class/net", "late", false));
  EXPECT_THAT(Inside("cat /proc/net/route /proc/net/ipv6_route"), Not(HasSubstr("late")));
  // As often as one likes, over the same few devices.
  const int times = Slow() ? 1 : 8;
  for (int i = 3; i < 3 + times; ++i) {
    AddInterface("late", i);
    ASSERT_TRUE(Shows("/net_probe show", "late 10.9." + std::to_string(i) + ".2 up"));
    There("link del there" + std::to_string(i));
    ASSERT_TRUE(Shows("ls /sys/class/net", "late", false));
  }
  AddInterface("late", 2);
  ASSERT_TRUE(Shows("/net_probe show", "late fd09:2::2 up"));
  EXPECT_EQ(Inside("/net_probe ping fd09:2::1"), "answered\n");
  EXPECT_EQ(Inside("/net_probe ping 10.9.1.1"), "answered\n");
  EXPECT_EQ(Log(), "");
}

TEST_F(NetworkChangeTest, WhatChangesOnAnInterfaceIsFollowed) {
  AddInterface("eth0", 1);
  Here("route add default via 10.9.1.1");
  StartSleeper();
  Here("address add 10.9.1.7/24 dev eth0");
  Here("address add fd09:1::7/64 dev eth0 nodad");
  Here("link set eth0 mtu 1300");
  Here("neighbour add 10.9.1.77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent");
  Here("route replace default via 10.9.1.9");
  ASSERT_TRUE(Shows("cat /proc/net/route", "eth0\t00000000\t0901090A"));
  const std::string seen =
      Inside("/net_probe show; cat /proc/net/arp /proc/net/route /sys/class/net/eth0/mtu");
  EXPECT_THAT(seen, Not(HasSubstr("eth0\t00000000\t0101090A")));
  EXPECT_THAT(seen, HasSubstr("eth0 10.9.1.7 up\n"));
  EXPECT_THAT(seen, HasSubstr("eth0 fd09:1::7 up\n"));
  EXPECT_THAT(seen, ContainsRegex("10.9.1.77 .*02:00:00:00:00:77"));
  EXPECT_THAT(seen, testing::EndsWith("\n1300\n"));

  Here("neighbour del 10.9.1.77 dev eth0");
  Here("address del 10.9.1.7/24 dev eth0");
  Here("address del fd09:1::7/64 dev eth0");
  ASSERT_TRUE(Shows("/net_probe show", "fd09:1::7", false));
  const std::string less = Inside("/net_probe show; cat /proc/net/arp");
  EXPECT_THAT(less, Not(HasSubstr("10.9.1.7 ")));
  EXPECT_THAT(less, HasSubstr("10.9.1.2 "));
  EXPECT_THAT(less, Not(HasSubstr("02:00:00:00:00:77")));

  Here("link set eth0 down");
  ASSERT_TRUE(Shows("/net_probe show", "eth0 10.9.1.2\n"));
  Here("link set eth0 name data0");
  Here("link set data0 up");
  Here("route add 203.0.113.0/24 via 10.9.1.1");
  ASSERT_TRUE(Shows("cat /proc/net/route", "data0\t007100CB\t0101090A"));
  EXPECT_EQ(Inside("/net_probe ping 10.9.1.1"), "answered\n");
  EXPECT_EQ(Inside("ls /sys/class/net"), "data0\nlo\n");
  EXPECT_EQ(Log(), "");
}

// What the container has made of its network is its own.
TEST_F(NetworkChangeTest, WhatTheContainerDidItselfStays) {
  AddInterface("eth0", 1);
  StartSleeper();
  Inside("/net_probe add eth0 10.55.0.1");
  Here("address add 10.9.1.7/24 dev eth0");
  ASSERT_TRUE(Shows("/net_probe show", "eth0 10.9.1.7 up"));
  EXPECT_THAT(Inside("/net_probe show"), HasSubstr(" 10.55.0.1 up"));
  Here("address del 10.9.1.7/24 dev eth0");
  ASSERT_TRUE(Shows("/net_probe show", "10.9.1.7 ", false));
  EXPECT_THAT(Inside("/net_probe show"), HasSubstr(" 10.55.0.1 up"));
}

// As when an engine takes a container off one network and puts it on another.
TEST_F(NetworkChangeTest, AnotherInterfaceOfTheSameNumberIsAnotherOne) {
  AddInterface("eth0", 1);
  const std::string index = Tool("/sbin/ip -n " + here_ + " -o link show eth0 | cut -d: -f1");
  StartSleeper();
  Here("link del eth0");
  There("link add there2 type veth peer name eth0 netns " + here_ + " index " +
        index.substr(0, index.size() - 1));
  There("address add 10.9.2.1/24 dev there2");
  There("link set there2 up");
  Here("address add 10.9.2.2/24 dev eth0");
  Here("link set eth0 up");
  ASSERT_TRUE(Shows("/net_probe show", "eth0 10.9.2.2 up"));
  EXPECT_EQ(Inside("/net_probe ping 10.9.2.1"), "answered\n");
  EXPECT_EQ(ProbeThere("ping 10.9.2.2")->Finish().out, "answered\n");
}

TEST_F(NetworkChangeTest, RulesAreTheContainersToo) {
  AddInterface("eth0", 1);
  AddInterface("eth1", 2);
  There("address add 192.0.2.1/32 dev lo");
  Here("rule add from 10.9.2.2 lookup 100 priority 77");
  Here("route add default via 10.9.2.1 table 100");
  StartSleeper();
  auto echo = ProbeThere("echo 7");
  ASSERT_TRUE(echo->WaitFor("listening"));
  // Only by the rule is there a way to it, and only from that address.
  auto reaches = [&](const std::string& from) {
    return Holt({"exec", "c", "sh", "-c", "/net_probe udp 192.0.2.1 7 10 " + from + " || true"})
        .out;
  };
  EXPECT_EQ(reaches("10.9.2.2"), "answered\n");
  EXPECT_THAT(reaches("10.9.1.2"), HasSubstr("Network is unreachable"));
  Here("rule add from 10.9.1.2 lookup 100 priority 78");
  Here("rule del priority 77");
  for (int i = 0; i < 100 && reaches("10.9.2.2") == "answered\n"; ++i) usleep(50'000);
  EXPECT_THAT(reaches("10.9.2.2"), HasSubstr("Network is unreachable"));
  Here("route replace default via 10.9.1.1 table 100");
  for (int i = 0; i < 100 && reaches("10.9.1.2") != "answered\n"; ++i) usleep(50'000);
  EXPECT_EQ(reaches("10.9.1.2"), "answered\n");
}

TEST_F(NetworkChangeTest, WhatItCannotHaveIsLeftOutAndSaid) {
  AddInterface("eth0", 1);
  WriteConfig("exec sleep 1000", true, R"("holt.network-devices":"1")");
  ASSERT_EQ(Create("c").status, 0);
  ASSERT_EQ(Holt({"start", "c"}).status, 0);
  AddInterface("eth1", 2);
  Here("tuntap add tun0 mode tun");
  Here("link set tun0 up");
  Here("address add 10.9.1.7/24 dev eth0");
  ASSERT_TRUE(Shows("/net_probe show", "eth0 10.9.1.7 up"));
  EXPECT_EQ(Inside("ls /sys/class/net"), "eth0\nlo\n");
  EXPECT_THAT(Log(), HasSubstr("eth1: 2 interfaces, and the machine has 1 network devices"));
  EXPECT_THAT(Log(), HasSubstr("tun0: a machine's interfaces are Ethernet"));
  EXPECT_EQ(Inside("/net_probe ping 10.9.1.1"), "answered\n");
  // A place that is free again is for who waits.
  Here("link del eth0");
  ASSERT_TRUE(Shows("/net_probe show", "eth1 10.9.2.2 up"));
  EXPECT_EQ(Inside("/net_probe ping 10.9.2.1"), "answered\n");
}

// Ten thousand changes: the monitor answers all the while, and what is there in the end is there.
TEST_F(NetworkChangeTest, AFloodOfChangesIsSurvived) {
  AddInterface("eth0", 1);
  StartSleeper();
  std::string batch;
  for (int i = 0; i < 5000; ++i) {
    const std::string address = "10.77." + std::to_string(i / 250) + "." + std::to_string(i % 250);
    batch += "address add " + address + "/32 dev eth0\n";
    if (i != 4321) batch += "address del " + address + "/32 dev eth0\n";
  }
  ASSERT_TRUE(base::WriteFile(Scratch("batch"), batch).ok());
  auto flood = Program::Start(
      {"/bin/sh", "-c", "exec /sbin/ip -n " + here_ + " -batch " + Scratch("batch")}, {});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Inside("echo there"), "there\n");
  Finished done = flood->Finish();
  ASSERT_EQ(done.status, 0) << done.err;
  ASSERT_TRUE(Shows("/net_probe show | grep 10.77", "eth0 10.77.17.71 up\n"));
  EXPECT_EQ(Inside("/net_probe show | grep -c 10.77"), "1\n");
  EXPECT_EQ(Inside("/net_probe ping 10.9.1.1"), "answered\n");
  EXPECT_EQ(Holt({"delete", "--force", "c"}).status, 0);
  EXPECT_TRUE(TapsVanish());
}

}  // namespace
}  // namespace holt
