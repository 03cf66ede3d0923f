// Containers of Docker on its networks.
#include "tests/e2e/docker_fixture.h"

namespace holt {
namespace {

using testing::HasSubstr;

class DockerNetworkTest : public DockerTest {
 protected:
  // With the program that sends and answers packets.
  static std::vector<std::string> WithProbe(std::vector<std::string> args) {
    args.insert(args.begin(), {"--volume", Probe() + ":/net_probe:ro"});
    return args;
  }
  static std::string Probe() { return BuildDirectory() + "/tests/e2e/net_probe"; }
};

TEST_F(DockerNetworkTest, PublishedPortsAndNeighbours) {
  Start("web", WithProbe({"--publish=10.213.0.1:5001:7/udp", "demo", "/net_probe", "echo", "7"}));
  const std::string address = Inspect("web", "{{.NetworkSettings.IPAddress}}");
  Finished host = OnHost(Probe() + " udp 10.213.0.1 5001 100 && " + Probe() + " udp " + address +
                             " 7 100 && " + Probe() + " ping " + address,
                         {})
                      ->Finish();
  EXPECT_EQ(host.out, "answered\nanswered\nanswered\n") << host.err;
  std::vector<std::string> client = {"run", "--rm"};
  for (const std::string& word :
       WithProbe({"demo", "sh", "-c",
                  "/net_probe udp " + address + " 7 100;" + "/net_probe ping 10.213.0.1"}))
    client.push_back(word);
  EXPECT_EQ(Docker(client).out, "answered\nanswered\n");
}

// Docker's resolver listens on 127.0.0.11 in the container's namespace on the host.
TEST_F(DockerNetworkTest, NamesOnAUserNetwork) {
  ASSERT_EQ(Docker({"network", "create", "n1"}).status, 0);
  Start("web",
        WithProbe({"--network=n1", "--network-alias=other", "demo", "/net_probe", "echo", "7"}));
  Start("client", WithProbe({"--network=n1", "demo", "/net_probe", "echo", "53"}));
  const std::string address =
      Inspect("web", "{{(index .NetworkSettings.Networks \"n1\").IPAddress}}");
  // The file is whole: Docker writes it after the machine has seen it. Newer ones comment it.
  EXPECT_EQ(Inside("client", "grep -v -e '^#' -e '^$' /etc/resolv.conf"),
            "nameserver 127.0.0.11\noptions ndots:0\n");
  EXPECT_EQ(
      Inside("client",
             "for name in web other; do getent ahostsv4 $name | head -n1 | cut -d' ' -f1; done;"
             "/net_probe udp $(getent hosts web | cut -d' ' -f1) 7 100"),
      address + "\n" + address + "\nanswered\n");
  EXPECT_EQ(Inside("client", "RES_OPTIONS=use-vc getent hosts web | cut -d' ' -f1"), address + "\n")
      << "by TCP";
  // Many at once.
  EXPECT_EQ(Inside("client", "for i in $(seq 40); do getent hosts web & done | sort -u | wc -l"),
            "1\n");
  // Port 53 itself is the container's.
  EXPECT_EQ(Inside("client", "/net_probe udp 127.0.0.1 53 100"), "answered\n");
}

// A network that comes later brings its interface and its names.
TEST_F(DockerNetworkTest, ConnectingWhileItRuns) {
  ASSERT_EQ(Docker({"network", "create", "n1"}).status, 0);
  Start("web", WithProbe({"--network=n1", "demo", "/net_probe", "echo", "7"}));
  Start("client", WithProbe({"demo", "sleep", "1000"}));
  ASSERT_EQ(Docker({"network", "connect", "n1", "client"}).status, 0);
  const std::string ask = "/net_probe udp $(getent hosts web | cut -d' ' -f1) 7 100";
  EXPECT_TRUE(Eventually([&] {
    return Docker({"exec", "client", "sh", "-c", ask}).out == "answered\n";
  }));
  const std::string address =
      Inspect("client", "{{(index .NetworkSettings.Networks \"n1\").IPAddress}}");
  EXPECT_THAT(Inside("client", "/net_probe show"), HasSubstr(" " + address + " up"));
  EXPECT_EQ(Docker({"network", "disconnect", "n1", "client"}).status, 0);
  EXPECT_TRUE(Eventually([&] {
    return Inside("client", "/net_probe show").find(" " + address + " ") == std::string::npos;
  }));
}

}  // namespace
}  // namespace holt
