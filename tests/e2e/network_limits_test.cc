// What a container cannot have of a network, and what is left when something is killed.

#include <signal.h>

#include "tests/e2e/network_fixture.h"

namespace holt {
namespace {

using testing::HasSubstr;
using testing::Not;

using NetworkLimitsTest = NetworkTest;

TEST_F(NetworkLimitsTest, MoreInterfacesThanDevicesIsAnErrorThatSaysHowManyThereAre) {
  AddInterface("eth0", 1);
  WriteConfig("true", true, R"("holt.network-devices":"1")");
  ASSERT_EQ(Create("c").status, 0);
  AddInterface("eth1", 2);
  Finished started = Holt({"start", "c"});
  EXPECT_NE(started.status, 0);
  EXPECT_THAT(started.err, HasSubstr("2 interfaces, and the machine has 1 network devices"));
  EXPECT_EQ(Holt({"delete", "--force", "c"}).status, 0);
  WriteConfig("true", true, R"("holt.network-devices":"9")");
  Finished refused = Create("c");
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.err, HasSubstr("annotation holt.network-devices: \"9\""));
}

TEST_F(NetworkLimitsTest, ANetworkBelongsToOneMachine) {
  AddInterface("eth0", 1);
  StartSleeper();
  WriteConfig("exec sleep 1000");
  Finished created = Create("d");
  EXPECT_NE(created.status, 0);
  EXPECT_THAT(created.err, HasSubstr("/run/netns/" + here_ +
                                     ": not supported: another container's machine has it, as "
                                     "holt0 shows"));
  EXPECT_EQ(ProbeThere("ping 10.9.1.2")->Finish().out, "answered\n") << "the first one's still";
}

TEST_F(NetworkLimitsTest, WhatIsNoNetworkOfTheContainersIsRefused) {
  Here("tuntap add tun0 mode tun");
  Here("link set tun0 up");
  WriteConfig("true");
  Finished tunnel = Create("c");
  EXPECT_NE(tunnel.status, 0);
  EXPECT_THAT(tunnel.err, HasSubstr("tun0: a machine's interfaces are Ethernet"));
  Here("link del tun0");
  Here("link add one type veth peer name two");
  Here("link set one up");
  Here("link set two up");
  Here("route add 198.51.100.0/24 nexthop dev one nexthop dev two");
  Finished hops = Create("c");
  EXPECT_NE(hops.status, 0);
  EXPECT_THAT(hops.err, HasSubstr("a route with several next hops"));
  Here("link del one");

  const std::string good = base::ReadFile(bundle_ + "/config.json").value_or("");
  auto replaced = [&](const std::string& what, const std::string& with) {
    std::string text = good;
    text.replace(text.find(what), what.size(), with);
    EXPECT_TRUE(base::WriteFile(bundle_ + "/config.json", text).ok());
    Finished created = Create("c");
    EXPECT_NE(created.status, 0);
    return created.err;
  };
  EXPECT_THAT(replaced("/run/netns/" + here_, "/proc/self/ns/uts"),
              HasSubstr("/proc/self/ns/uts: is no network namespace"));
  EXPECT_THAT(replaced("/run/netns/" + here_, "/etc/passwd"), HasSubstr("is no network namespace"));
  EXPECT_THAT(replaced("/run/netns/" + here_, "/run/netns/missing"),
              HasSubstr("No such file or directory"));
  EXPECT_THAT(replaced("/run/netns/" + here_, "/proc/self/ns/net"),
              HasSubstr("network: /proc/self/ns/net: not supported: it is the host's"));
  EXPECT_THAT(replaced(R"(,{"type":"network","path":"/run/netns/)" + here_ + "\"}", ""),
              HasSubstr("a virtual machine cannot share the host's network"));
}

class NetworkKillTest : public NetworkTest, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Processes, NetworkKillTest, testing::Values("holt-monitor", "holt-vmm"),
                         [](const auto& test) { return std::string(test.param).substr(5); });

// kill -9 at any moment: no tap is left, and the next machine gets the interface.
TEST_P(NetworkKillTest, NoTapIsLeft) {
  AddInterface("eth0", 1);
  StartSleeper();
  EXPECT_THAT(Here("-br link"), HasSubstr("holt0"));
  const std::string state = base::ReadFile(root_ + "/c/state.json").value_or("");
  const size_t at = state.find("\"" + std::string(GetParam()) + "\"");
  ASSERT_NE(at, std::string::npos) << state;
  const size_t pid = state.find("\"pid\":", state.rfind('{', at)) + 6;
  ASSERT_EQ(kill(std::stoi(state.substr(pid)), SIGKILL), 0);
  EXPECT_TRUE(TapsVanish());
  EXPECT_EQ(Holt({"delete", "--force", "c"}).status, 0);
  StartSleeper("d");
  EXPECT_EQ(ProbeThere("ping 10.9.1.2")->Finish().out, "answered\n");
  EXPECT_EQ(Inside("/net_probe ping fd09:1::1", "d"), "answered\n");
}

}  // namespace
}  // namespace holt
