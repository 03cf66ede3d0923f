// Packets between a container and the other side of its interfaces.

#include "tests/e2e/network_fixture.h"

namespace holt {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

TEST_F(NetworkTest, WhatIsInTheNamespaceIsInTheContainer) {
  AddInterface("eth0", 1, 1400);
  AddInterface("data1", 2, 9000);
  Here("link set eth0 address 02:42:0a:09:01:02");
  Here("address add 192.0.2.7/32 dev data1");
  Here("route add default via 10.9.1.1 metric 50");
  Here("-6 route add default via fd09:1::1");
  Here("route add 198.51.100.0/24 via 10.9.2.1 dev data1 advmss 1260");
  Here("route add blackhole 203.0.113.0/24");
  Here("neighbour add 10.9.1.77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent");
  StartSleeper();
  const std::string seen = Inside(
      "cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu /sys/class/net/data1/mtu;"
      "/net_probe show; cat /proc/net/route /proc/net/ipv6_route /proc/net/arp; ls /sys/class/net");
  EXPECT_THAT(seen, HasSubstr("02:42:0a:09:01:02\n1400\n9000\n"));
  EXPECT_THAT(seen, HasSubstr("eth0 10.9.1.2 up\n"));
  EXPECT_THAT(seen, HasSubstr("eth0 fd09:1::2 up\n"));
  EXPECT_THAT(seen, HasSubstr("data1 10.9.2.2 up\n"));
  EXPECT_THAT(seen, HasSubstr("data1 192.0.2.7 up\n"));
  const std::string link_local = Here("-br -6 address show dev eth0 scope link");
  const size_t fe80 = link_local.find("fe80::");
  ASSERT_NE(fe80, std::string::npos) << link_local;
  EXPECT_THAT(seen, HasSubstr("eth0 " + link_local.substr(fe80, link_local.find('/') - fe80) +
                              "%eth0 up\n"));
  // Numbers of /proc/net/route are in the order of the bytes of the processor; its "MTU" is advmss
  // + 40.
  EXPECT_THAT(seen, ContainsRegex("eth0\t00000000\t0101090A\t0003\t0\t0\t50\t"));
  EXPECT_THAT(seen, ContainsRegex("data1\t006433C6\t0102090A\t0003\t0\t0\t0\t00FFFFFF\t1300"));
  EXPECT_THAT(seen, ContainsRegex("\\*\t007100CB\t"));
  EXPECT_THAT(seen, ContainsRegex("0{32} 00 0{32} 00 fd09000100{22}1 .* eth0"));
  EXPECT_THAT(seen, ContainsRegex("10.9.1.77 .*02:00:00:00:00:77"));
  EXPECT_THAT(seen, Not(HasSubstr("dummy")));
}

TEST_F(NetworkTest, PacketsGoBothWaysInBothFamilies) {
  AddInterface("eth0", 1);
  StartSleeper();
  auto echo = ProbeThere("echo 7");
  ASSERT_TRUE(echo->WaitFor("listening"));
  auto echo_inside = ProbeInside("echo 5007");
  ASSERT_TRUE(echo_inside->WaitFor("listening"));
  for (const std::string net : {"10.9.1.", "fd09:1::"}) {
    EXPECT_EQ(Inside("/net_probe ping " + net + "1"), "answered\n");
    EXPECT_EQ(ProbeThere("ping " + net + "2")->Finish().out, "answered\n");
    EXPECT_EQ(Inside("/net_probe udp " + net + "1 7 100"), "answered\n");
    EXPECT_EQ(ProbeThere("udp " + net + "2 5007 100")->Finish().out, "answered\n");
  }
}

// Long enough for segments and checksums that the other side has to make up, and compared.
TEST_F(NetworkTest, ManyBytesArriveAsTheyWereSent) {
  AddInterface("eth0", 1);
  StartSleeper();
  const std::string bytes = std::to_string((Slow() ? 2 : 48) << 20);
  for (const std::string net : {"10.9.1.", "fd09:1::"}) {
    auto take = ProbeThere("take 5001");
    ASSERT_TRUE(take->WaitFor("listening"));
    const std::string sent = Inside("/net_probe push " + net + "1 5001 " + bytes);
    const std::string received = LastLine(take->Finish().out);
    EXPECT_THAT(received, HasSubstr("received " + bytes + " "));
    EXPECT_EQ("received" + sent.substr(4), received + "\n") << "to the host";

    auto give = ProbeThere("give 5002 " + bytes);
    ASSERT_TRUE(give->WaitFor("listening"));
    const std::string taken = Inside("/net_probe pull " + net + "1 5002");
    EXPECT_THAT(taken, HasSubstr("received " + bytes + " "));
    EXPECT_EQ(taken.substr(8), LastLine(give->Finish().out).substr(4) + "\n") << "from the host";
  }
}

// Checksums are nobody's work until a wire, and frames are larger than its segments, both ways: by
// what the driver agreed upon, what the kernel makes of it, and what goes by.
TEST_F(NetworkTest, SegmentsAndChecksumsAreLeftToTheHost) {
  AddInterface("eth0", 1);
  StartSleeper();
  const std::string features = Inside("cat /sys/class/net/eth0/device/features");
  // Bits of virtio 1.2, 5.1.3: CSUM, GUEST_CSUM, GUEST_TSO4, GUEST_TSO6, HOST_TSO4, HOST_TSO6,
  // MRG_RXBUF.
  for (const size_t bit : {0, 1, 7, 8, 11, 12, 15})
    EXPECT_EQ(features.substr(bit, 1), "1") << bit << " in " << features;
  EXPECT_EQ(Inside("/net_probe offloads eth0"),
            "receive checksums on\nsend checksums on\nscatter on\nsegments on\n");
  auto count = [&](const std::string& way) {
    return std::stoull(Inside("cat /sys/class/net/eth0/statistics/" + way + "_packets"));
  };
  const uint64_t bytes = (Slow() ? 2 : 16) << 20;
  // A third of what it takes in segments of 1,448 bytes.
  const uint64_t few = bytes / 1448 / 3;
  for (const std::string net : {"10.9.1.", "fd09:1::"}) {
    const uint64_t sent = count("tx");
    auto take = ProbeThere("take 5001");
    ASSERT_TRUE(take->WaitFor("listening"));
    Inside("/net_probe push " + net + "1 5001 " + std::to_string(bytes));
    EXPECT_LT(count("tx") - sent, few) << net;
    EXPECT_THAT(take->Finish().out, HasSubstr("received " + std::to_string(bytes)));
    const uint64_t received = count("rx");
    auto give = ProbeThere("give 5002 " + std::to_string(bytes));
    ASSERT_TRUE(give->WaitFor("listening"));
    Inside("/net_probe pull " + net + "1 5002");
    EXPECT_LT(count("rx") - received, few) << net;
  }
}

// Frames of many connections, which the tap deals out to all pairs that are in use.
TEST_F(NetworkTest, EachProcessorHasAPairOfQueues) {
  AddInterface("eth0", 1);
  WriteConfig("exec sleep 1000");
  std::string config = base::ReadFile(bundle_ + "/config.json").value_or("");
  const std::string linux_part = "\"linux\":{";
  config.insert(config.find(linux_part) + linux_part.size(),
                R"("resources":{"cpu":{"quota":200000,"period":100000}},)");
  ASSERT_TRUE(base::WriteFile(bundle_ + "/config.json", config).ok());
  Finished created = Create("c");
  ASSERT_EQ(created.status, 0) << created.err;
  ASSERT_EQ(Holt({"start", "c"}).status, 0);
  EXPECT_EQ(Inside("nproc"), "2\n");
  EXPECT_EQ(Inside("ls /sys/class/net/eth0/queues"), "rx-0\nrx-1\ntx-0\ntx-1\n");
  const std::string features = Inside("cat /sys/class/net/eth0/device/features");
  for (const size_t bit : {17, 22}) EXPECT_EQ(features.substr(bit, 1), "1") << features;
  auto echo = ProbeThere("echo 7");
  ASSERT_TRUE(echo->WaitFor("listening"));
  auto echo_inside = ProbeInside("echo 5007");
  ASSERT_TRUE(echo_inside->WaitFor("listening"));
  EXPECT_EQ(Inside("for i in 1 2 3 4 5 6 7 8; do /net_probe udp 10.9.1.1 7 100; done | sort -u"),
            "answered\n");
  for (int i = 0; i < 8; ++i)
    EXPECT_EQ(ProbeThere("udp fd09:1::2 5007 100")->Finish().out, "answered\n");
  auto take = ProbeThere("take 5001");
  ASSERT_TRUE(take->WaitFor("listening"));
  Inside("/net_probe push 10.9.1.1 5001 1000000");
  EXPECT_THAT(take->Finish().out, HasSubstr("received 1000000 "));
  // A change of the interface takes the device down and up again.
  Here("link set eth0 down");
  Here("link set eth0 up");
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(ProbeThere("udp 10.9.1.2 5007 100")->Finish().out, "answered\n");
}

class NetworkMtuTest : public NetworkTest, public testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(Sizes, NetworkMtuTest, testing::Values(1280, 9000));

TEST_P(NetworkMtuTest, ADatagramAsLargeAsThatPassesAndALargerOneDoesNot) {
  const int mtu = GetParam();
  AddInterface("eth0", 1, mtu);
  StartSleeper();
  auto echo = ProbeThere("echo 7");
  ASSERT_TRUE(echo->WaitFor("listening"));
  constexpr int kIpv4Udp = 28, kIpv6Udp = 48;
  auto send = [&](const std::string& to, int bytes) {
    return Holt({"exec", "c", "sh", "-c",
                 "/net_probe udp " + to + " 7 " + std::to_string(bytes) + " || true"})
        .out;
  };
  EXPECT_EQ(send("10.9.1.1", mtu - kIpv4Udp), "answered\n");
  EXPECT_EQ(send("fd09:1::1", mtu - kIpv6Udp), "answered\n");
  EXPECT_EQ(send("10.9.1.1", mtu - kIpv4Udp + 1), "send: Message too long\n");
}

// As Docker's libnetwork does it since version 28: the interface arrives between create and start.
TEST_F(NetworkTest, AnInterfaceThatArrivesBeforeTheStartIsThere) {
  WriteConfig("exec sleep 1000", false);
  Finished created = Create("c");
  ASSERT_EQ(created.status, 0) << created.err;
  const std::string enter = "/usr/bin/nsenter --net=/proc/" + Pid("c") + "/ns/net ";
  There("link add there1 type veth peer name tmp0");
  There("link set tmp0 netns /proc/" + Pid("c") + "/ns/net");
  There("address add 10.9.1.1/24 dev there1");
  There("link set there1 up");
  Tool(enter + "/sbin/ip link set tmp0 name eth0");
  Tool(enter + "/sbin/ip address add 10.9.1.2/24 dev eth0");
  Tool(enter + "/sbin/ip link set eth0 up");
  Tool(enter + "/sbin/ip route add default via 10.9.1.1");
  Finished started = Holt({"start", "c"});
  ASSERT_EQ(started.status, 0) << started.err;
  EXPECT_EQ(Inside("/net_probe ping 10.9.1.1"), "answered\n");
  EXPECT_EQ(ProbeThere("ping 10.9.1.2")->Finish().out, "answered\n");
  EXPECT_EQ(Holt({"delete", "--force", "c"}).status, 0);
  // The namespace was the container's own: its interface went with it, and so did the other side.
  for (int i = 0; i < 200 && There("-br link").find("there1") != std::string::npos; ++i)
    usleep(25'000);
  EXPECT_THAT(There("-br link"), Not(HasSubstr("there1")));
}

TEST_F(NetworkTest, ANamespaceWithNothingInItIsNoNetwork) {
  WriteConfig("exec /net_probe show", false);
  ASSERT_EQ(Create("c").status, 0);
  ASSERT_EQ(Holt({"start", "c"}).status, 0);
  for (int i = 0; i < 400 && Holt({"state", "c"}).out.find("stopped") == std::string::npos; ++i)
    usleep(25'000);
  EXPECT_EQ(base::ReadFile(Scratch("out-c")).value_or(""), "lo 127.0.0.1 up\nlo ::1 up\n");
}

TEST_F(NetworkTest, AtTheEndTheInterfaceIsTheNamespacesAgain) {
  AddInterface("eth0", 1);
  StartSleeper();
  EXPECT_THAT(Here("-br link"), HasSubstr("holt0"));
  EXPECT_EQ(ProbeThere("ping 10.9.1.2")->Finish().out, "answered\n");
  EXPECT_EQ(Holt({"delete", "--force", "c"}).status, 0);
  EXPECT_TRUE(TapsVanish());
  EXPECT_EQ(Tool("/sbin/tc -n " + here_ + " qdisc show dev eth0 clsact"), "");
  // Now the host's kernel answers there.
  EXPECT_EQ(ProbeThere("ping 10.9.1.2")->Finish().out, "answered\n");
  StartSleeper("d");
  EXPECT_EQ(Inside("/net_probe ping 10.9.1.1", "d"), "answered\n");
}

TEST_F(NetworkTest, OfAMonitorThatWasKilledTheInterfacesAreGivenBackToo) {
  AddInterface("eth0", 1);
  AddInterface("eth1", 2);
  // Somebody else's, which stays.
  Tool("/sbin/tc -n " + here_ + " qdisc add dev eth1 clsact");
  Tool("/sbin/tc -n " + here_ +
       " filter add dev eth1 ingress pref 7 protocol all u32 match u32 0 0 flowid 1:1");
  auto filters = [&](const std::string& interface) {
    return Tool("/sbin/tc -n " + here_ + " filter show dev " + interface + " ingress");
  };
  auto kill_monitor = [&] {
    Tool("pkill -9 -f '[h]olt-monitor.*" + root_ + "'");
    ASSERT_TRUE(TapsVanish());
    EXPECT_THAT(filters("eth0"), HasSubstr("pref 50000"));
  };
  StartSleeper();
  kill_monitor();
  EXPECT_EQ(Holt({"delete", "--force", "c"}).status, 0);
  EXPECT_EQ(Tool("/sbin/tc -n " + here_ + " qdisc show dev eth0 clsact"), "");
  EXPECT_THAT(filters("eth1"), AllOf(HasSubstr("pref 7 "), Not(HasSubstr("pref 50000"))));
  EXPECT_EQ(ProbeThere("ping 10.9.1.2")->Finish().out, "answered\n");

  // Nobody deletes it, and the next one takes over what is there.
  StartSleeper("d");
  kill_monitor();
  StartSleeper("e");
  EXPECT_EQ(Inside("/net_probe ping 10.9.1.1", "e"), "answered\n");
  EXPECT_EQ(Holt({"delete", "--force", "d"}).status, 0);
  EXPECT_EQ(Inside("/net_probe ping 10.9.1.1", "e"), "answered\n");
  EXPECT_EQ(Holt({"delete", "--force", "e"}).status, 0);
  EXPECT_EQ(Tool("/sbin/tc -n " + here_ + " qdisc show dev eth0 clsact"), "");
  EXPECT_THAT(filters("eth1"), AllOf(HasSubstr("pref 7 "), Not(HasSubstr("pref 50000"))));
}

}  // namespace
}  // namespace holt
