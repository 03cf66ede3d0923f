// Podman's bridge networks with holt. All of it happens in a network namespace of the test's: its
// bridges and packet filters go with that, and nothing outside is reached.

#include "tests/e2e/podman_fixture.h"

namespace holt {
namespace {

using testing::HasSubstr;
using testing::Not;

class PodmanNetworkTest : public PodmanTest {
 protected:
  void SetUp() override {
    name_ = "holtp-" + std::to_string(getpid());
    Tool({"/sbin/ip", "netns", "add", name_});
    Tool({"/sbin/ip", "-n", name_, "link", "set", "lo", "up"});
    // Not `ip netns exec`: mounts that Podman makes must be there for its next call.
    before_ = {"/usr/bin/nsenter", "--net=/run/netns/" + name_, "--"};
    PodmanTest::SetUp();
  }
  void TearDown() override {
    PodmanTest::TearDown();
    for (const std::string& network : networks_) {
      (void)Podman({"network", "rm", "--force", network});
      // Of the plug-in that gives addresses away, which Podman does not clean.
      (void)base::RemoveTree("/var/lib/cni/networks/" + network);
    }
    Tool({"/sbin/ip", "netns", "del", name_});
  }
  static std::string Tool(const std::vector<std::string>& words) {
    Finished finished = Program::Start(words, {})->Finish();
    EXPECT_EQ(finished.status, 0) << words[0] << ": " << finished.err;
    return finished.out;
  }
  std::string MakeNetwork(const std::string& suffix, std::vector<std::string> flags) {
    const std::string network = name_ + suffix;
    std::vector<std::string> words = {"network", "create", "--disable-dns"};
    words.insert(words.end(), flags.begin(), flags.end());
    words.push_back(network);
    Finished made = Podman(words);
    EXPECT_EQ(made.status, 0) << made.err;
    networks_.push_back(network);
    return network;
  }
  void Start(const std::string& container, std::vector<std::string> flags,
             const std::string& command) {
    // Podman 5 gives no raw sockets to who does not ask.
    std::vector<std::string> words = {"run",
                                      "-d",
                                      "--name",
                                      container,
                                      "--cap-add=NET_RAW",
                                      "-v",
                                      BuildDirectory() + "/tests/e2e:/probe:ro"};
    words.insert(words.end(), flags.begin(), flags.end());
    words.insert(words.end(), {"demo", "sh", "-c", command});
    Finished started = Podman(words);
    ASSERT_EQ(started.status, 0) << started.err;
  }
  // net_probe in a container, and on the host that the test's namespace is.
  std::string In(const std::string& container, const std::string& arguments) {
    return Podman({"exec", container, "sh", "-c", "/probe/net_probe " + arguments + " || true"})
        .out;
  }
  std::string OnHost(const std::string& arguments) {
    return Program::Start({"/bin/sh", "-c",
                           "exec nsenter --net=/run/netns/" + name_ + " " + BuildDirectory() +
                               "/tests/e2e/net_probe " + arguments},
                          {})
        ->Finish()
        .out;
  }
  std::string AddressOf(const std::string& container, const std::string& network,
                        const std::string& field = "IPAddress") {
    std::string out =
        Podman({"inspect", container, "--format",
                "{{(index .NetworkSettings.Networks \"" + network + "\")." + field + "}}"})
            .out;
    return out.substr(0, out.find('\n'));
  }
  testing::AssertionResult Shows(const std::string& container, const std::string& what,
                                 bool wanted = true) {
    std::string seen;
    for (int i = 0; i < 100; ++i) {
      seen = In(container, "show");
      if ((seen.find(what) != std::string::npos) == wanted) return testing::AssertionSuccess();
      usleep(50'000);
    }
    return testing::AssertionFailure() << what << ": " << seen;
  }

  std::string name_;
  std::vector<std::string> networks_;
};

TEST_F(PodmanNetworkTest, ContainersReachEachOtherAndPublishedPortsLeadIn) {
  const std::string network =
      MakeNetwork("a", {"--subnet", "10.98.7.0/24", "--ipv6", "--subnet", "fd98:7::/64"});
  Start("server", {"--network", network, "-p", "18080:80", "-p", "5353:53/udp"},
        "/probe/net_probe echo 53 & /probe/net_probe take 80; sleep 1000");
  Start("client", {"--network", network}, "exec sleep 1000");
  const std::string v4 = AddressOf("server", network);
  const std::string v6 = AddressOf("server", network, "GlobalIPv6Address");
  EXPECT_THAT(v4, testing::StartsWith("10.98.7."));
  EXPECT_THAT(v6, testing::StartsWith("fd98:7::"));
  for (const std::string& address : {v4, v6}) {
    EXPECT_EQ(In("client", "ping " + address), "answered\n") << address;
    EXPECT_EQ(In("client", "udp " + address + " 53 1000"), "answered\n") << address;
    EXPECT_EQ(OnHost("ping " + address), "answered\n") << address;
  }
  EXPECT_EQ(In("client", "ping 10.98.7.1"), "answered\n") << "the gateway";
  EXPECT_EQ(OnHost("udp 10.98.7.1 5353 1000"), "answered\n");
  const std::string sent = OnHost("push 127.0.0.1 18080 1000000");
  EXPECT_THAT(sent, HasSubstr("sent 1000000 "));
  EXPECT_THAT(Podman({"logs", "server"}).out, HasSubstr("received" + sent.substr(4)));
}

TEST_F(PodmanNetworkTest, ARunningContainerIsConnectedAndDisconnected) {
  const std::string first = MakeNetwork("a", {"--subnet", "10.98.7.0/24"});
  const std::string second = MakeNetwork("b", {"--subnet", "10.98.8.0/24"});
  Start("one", {"--network", first}, "exec sleep 1000");
  Start("two", {"--network", second}, "exec sleep 1000");
  EXPECT_THAT(In("one", "show"), Not(HasSubstr("eth1")));
  Finished connected = Podman({"network", "connect", second, "one"});
  ASSERT_EQ(connected.status, 0) << connected.err;
  ASSERT_TRUE(Shows("one", "eth1 " + AddressOf("one", second) + " up"));
  EXPECT_EQ(In("one", "ping " + AddressOf("two", second)), "answered\n");
  EXPECT_EQ(In("two", "ping " + AddressOf("one", second)), "answered\n");
  Finished disconnected = Podman({"network", "disconnect", first, "one"});
  ASSERT_EQ(disconnected.status, 0) << disconnected.err;
  ASSERT_TRUE(Shows("one", "eth0", false));
  EXPECT_EQ(In("one", "ping " + AddressOf("two", second)), "answered\n");
}

}  // namespace
}  // namespace holt
