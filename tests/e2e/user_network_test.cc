// holt run with passt: the host's connections, without anybody's help. "The host" is a network
// namespace of the test's, so that nothing outside it matters.

#include <signal.h>

#include "tests/e2e/network_fixture.h"

namespace holt {
namespace {

using testing::HasSubstr;

class UserNetworkTest : public NetworkTest {
 protected:
  void SetUp() override {
    NetworkTest::SetUp();
    AddInterface("eth0", 1);
    Here("route add default via 10.9.1.1");
  }
  // holt run on that host, with the probe in the container.
  std::vector<std::string> OnHost(std::vector<std::string> args) {
    args.insert(args.begin(), {"-v", BuildDirectory() + "/tests/e2e:/probe:ro"});
    std::vector<std::string> all = {"/sbin/ip", "netns", "exec", here_};
    for (const std::string& word : RunCommand(args)) all.push_back(word);
    return all;
  }
};

TEST_F(UserNetworkTest, TheContainerReachesWhatTheHostReaches) {
  auto give = ProbeThere("give 5002 3000000");
  ASSERT_TRUE(give->WaitFor("listening"));
  auto take = ProbeThere("take 5003");
  ASSERT_TRUE(take->WaitFor("listening"));
  auto echo = ProbeThere("echo 7");
  ASSERT_TRUE(echo->WaitFor("listening"));
  Finished run =
      Program::Start(
          OnHost({"--rm", "--network", "passt", "demo", "sh", "-c",
                  "cat /etc/resolv.conf; P=/probe/net_probe; $P show; $P pull 10.9.1.1 5002;"
                  "$P push 10.9.1.1 5003 3000000; $P udp 10.9.1.1 7 1000"}),
          {})
          ->Finish();
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("nameserver 10.0.2.3\n"));
  EXPECT_THAT(run.out, HasSubstr("eth0 10.0.2.15 up\n"));
  EXPECT_THAT(run.out, HasSubstr("answered\n"));
  const std::string sum = LastLine(give->Finish().out).substr(4);
  EXPECT_THAT(run.out, HasSubstr("received" + sum)) << "to the container";
  EXPECT_EQ(LastLine(take->Finish().out), "received" + sum) << "and back";
}

TEST_F(UserNetworkTest, TheHostsLoopbackIsItsOwn) {
  auto server = Program::Start(
      {"/bin/sh", "-c", "exec /sbin/ip netns exec " + here_ + " " + Probe() + " give 6000 10"}, {});
  ASSERT_TRUE(server->WaitFor("listening"));
  Finished run =
      Program::Start(OnHost({"--rm", "--network", "passt", "demo", "sh", "-c",
                             "for a in 10.0.2.2 10.0.2.3 127.0.0.1; do "
                             "timeout -s KILL 3 /probe/net_probe pull $a 6000; done; true"}),
                     {})
          ->Finish();
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_EQ(run.out.find("received"), std::string::npos) << run.out;
  server->Signal(SIGKILL);
  EXPECT_EQ(LastLine(server->Finish().out), "listening") << "nobody came";
}

TEST_F(UserNetworkTest, PublishedPortsLeadIntoTheContainer) {
  auto run =
      Program::Start(OnHost({"--rm", "-p", "8080:80", "-p", "127.0.0.1:8081:81", "demo", "sh", "-c",
                             "/probe/net_probe take 80; /probe/net_probe take 81"}),
                     {});
  ASSERT_TRUE(run->WaitFor("listening\n"));
  const std::string sent = ProbeThere("push 10.9.1.2 8080 100000")->Finish().out;
  ASSERT_TRUE(run->WaitFor("received" + sent.substr(4) + "listening\n")) << sent << run->out();
  // From the host itself, by its loopback.
  const std::string local =
      Tool("/sbin/ip netns exec " + here_ + " " + Probe() + " push 127.0.0.1 8081 1000");
  Finished finished = run->Finish();
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_THAT(finished.out, HasSubstr("received" + local.substr(4)));
}

TEST_F(UserNetworkTest, WhatCannotBePublishedIsSaidAndNothingIsLeft) {
  auto server = Program::Start(
      {"/bin/sh", "-c", "exec /sbin/ip netns exec " + here_ + " " + Probe() + " take 8080"}, {});
  ASSERT_TRUE(server->WaitFor("listening"));
  Finished taken = Program::Start(OnHost({"--rm", "-p", "8080:80", "demo", "true"}), {})->Finish();
  EXPECT_EQ(taken.status, 125);
  EXPECT_THAT(taken.err, HasSubstr("passt exited with status 1"));
  EXPECT_THAT(ErrorOf(Run({"--rm", "-p", "80", "demo", "true"})), HasSubstr("[ADDRESS:]HOST"));
  EXPECT_THAT(ErrorOf(Run({"--rm", "--network", "none", "-p", "8080:80", "demo", "true"})),
              HasSubstr("--publish: needs a network"));
}

}  // namespace
}  // namespace holt
