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
    Here("-6 route add default via fd09:1::1");
    // The kernel gives its address on the link in its own time.
    for (int i = 0; i < 100 && Here("-6 address show dev eth0 scope link -tentative") == ""; ++i)
      usleep(50'000);
    // What ip-netns(8) puts over /etc/resolv.conf there.
    ASSERT_TRUE(base::MakeDirs("/etc/netns/" + here_).ok());
    ASSERT_TRUE(base::WriteFile("/etc/netns/" + here_ + "/resolv.conf",
                                "nameserver 10.9.1.1\nsearch otters.example\n")
                    .ok());
  }
  void TearDown() override {
    EXPECT_TRUE(base::RemoveTree("/etc/netns/" + here_).ok());
    (void)rmdir("/etc/netns");
    NetworkTest::TearDown();
  }
  std::unique_ptr<Program> ProbeOnHost(const std::string& arguments) {
    return Program::Start(
        {"/bin/sh", "-c", "exec /sbin/ip netns exec " + here_ + " " + Probe() + " " + arguments},
        {});
  }
  // holt run on that host, with the probe in the container.
  std::vector<std::string> OnHost(std::vector<std::string> args) {
    args.insert(args.begin(), {"-v", BuildDirectory() + "/tests/e2e:/probe:ro"});
    std::vector<std::string> all = {"/sbin/ip", "netns", "exec", here_};
    std::vector<std::string> run = {"run", "--accel", Accel()};
    run.insert(run.end(), args.begin(), args.end());
    for (const std::string& word : Command(run)) all.push_back(word);
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
  auto resolver = ProbeThere("echo 53");
  ASSERT_TRUE(resolver->WaitFor("listening"));
  Finished run =
      Program::Start(
          OnHost({"--rm", "demo", "sh", "-c",
                  "cat /etc/resolv.conf; P=/probe/net_probe; $P show; $P pull 10.9.1.1 5002;"
                  "$P push fd09:1::1 5003 3000000; $P udp 10.9.1.1 7 1000;"
                  "$P udp fd09:1::1 7 1001; $P udp 10.0.2.3 53 100"}),
          {})
          ->Finish();
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("nameserver 10.0.2.3\nsearch otters.example\n"));
  EXPECT_THAT(run.out, HasSubstr("eth0 10.0.2.15 up\n"));
  EXPECT_THAT(run.out, HasSubstr("eth0 fd68:6f6c:7400::15 up\n"));
  EXPECT_THAT(run.out, testing::EndsWith("answered\nanswered\nanswered\n"));
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
                             "for a in 10.0.2.2 10.0.2.3 127.0.0.1 fd68:6f6c:7400::3 ::1; do "
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

TEST_F(UserNetworkTest, PortsOfBothProtocolsAndFamiliesInRanges) {
  auto run = Program::Start(
      OnHost({"--rm", "-p", "5353:53/udp", "-p", "[::1]:8080:80", "-p", "10.9.1.2:700-702:80-82",
              "demo", "sh", "-c",
              "P=/probe/net_probe; $P echo 53 & sleep 1; $P take 80; $P take 82; $P take 80"}),
      {});
  ASSERT_TRUE(run->WaitFor("listening\nlistening\n")) << run->out();
  EXPECT_EQ(ProbeThere("udp 10.9.1.2 5353 1000")->Finish().out, "answered\n");
  EXPECT_EQ(ProbeThere("udp fd09:1::2 5353 1000")->Finish().out, "answered\n");
  EXPECT_EQ(ProbeOnHost("udp 10.9.1.2 5353 1000")->Finish().out, "answered\n");
  // The next one must listen: whoever connects before that is let in by passt, and let down.
  auto arrives = [&](const std::string& sent, const char* then = "listening\n") {
    EXPECT_THAT(sent, HasSubstr("sent "));
    return run->WaitFor("received" + sent.substr(4) + then);
  };
  EXPECT_TRUE(arrives(ProbeOnHost("push ::1 8080 1000")->Finish().out)) << run->out();
  EXPECT_TRUE(arrives(ProbeThere("push 10.9.1.2 702 2000")->Finish().out)) << run->out();
  EXPECT_TRUE(arrives(ProbeThere("push 10.9.1.2 700 3000")->Finish().out, "")) << run->out();
  EXPECT_EQ(run->Finish().status, 0);
}

// A port of TCP is not one of UDP, and one address is not all of them.
TEST_F(UserNetworkTest, NothingElseIsPublished) {
  auto run = Program::Start(
      OnHost({"--rm", "-p", "127.0.0.1:8080:80", "demo", "sh", "-c", "echo up; exec sleep 1000"}),
      {});
  ASSERT_TRUE(run->WaitFor("up\n")) << run->out();
  const std::string sockets =
      Tool("/sbin/ip netns exec " + here_ + " cat /proc/net/tcp /proc/net/tcp6 /proc/net/udp " +
           "/proc/net/udp6 | awk '{print $2}' | grep :");
  EXPECT_EQ(sockets, "0100007F:1F90\n");
  run->Signal(SIGTERM);
  (void)run->Finish();
}

TEST_F(UserNetworkTest, WhatCannotBePublishedIsSaidAndNothingIsLeft) {
  auto server = Program::Start(
      {"/bin/sh", "-c", "exec /sbin/ip netns exec " + here_ + " " + Probe() + " take 8080"}, {});
  ASSERT_TRUE(server->WaitFor("listening"));
  Finished taken = Program::Start(OnHost({"--rm", "-p", "8080:80", "demo", "true"}), {})->Finish();
  EXPECT_EQ(taken.status, 125);
  EXPECT_THAT(taken.err, HasSubstr("publish port 8080/tcp: Address already in use"));
  Finished foreign =
      Program::Start(OnHost({"--rm", "-p", "10.9.1.1:8081:80", "demo", "true"}), {})->Finish();
  EXPECT_EQ(foreign.status, 125);
  EXPECT_THAT(foreign.err, HasSubstr("8081/tcp of 10.9.1.1: Cannot assign requested address"));
  EXPECT_THAT(ErrorOf(Run({"--rm", "-p", "80", "demo", "true"})), HasSubstr("[ADDRESS:]HOST"));
  EXPECT_THAT(ErrorOf(Run({"--rm", "--network", "none", "-p", "8080:80", "demo", "true"})),
              HasSubstr("--publish: needs a network"));
}

TEST_F(UserNetworkTest, AHostWithoutANetworkHasNoneToGive) {
  Here("route del default");
  Here("-6 route del default");
  Finished quiet =
      Program::Start(OnHost({"--rm", "demo", "/probe/net_probe", "show"}), {})->Finish();
  EXPECT_EQ(quiet.status, 0) << quiet.err;
  EXPECT_EQ(quiet.out, "lo 127.0.0.1 up\nlo ::1 up\n");
  EXPECT_THAT(quiet.err, HasSubstr("no network: the host has no default route (--network none"));
  Finished none =
      Program::Start(OnHost({"--rm", "--network", "none", "demo", "true"}), {})->Finish();
  EXPECT_EQ(none.status, 0);
  EXPECT_EQ(none.err.find("network"), std::string::npos) << none.err;
  Finished wanted =
      Program::Start(OnHost({"--rm", "--network", "passt", "demo", "true"}), {})->Finish();
  EXPECT_EQ(wanted.status, 125);
  EXPECT_THAT(wanted.err, HasSubstr("--network passt: the host has no default route"));
  Finished published =
      Program::Start(OnHost({"--rm", "-p", "8080:80", "demo", "true"}), {})->Finish();
  EXPECT_EQ(published.status, 125);
  EXPECT_THAT(published.err, HasSubstr("--publish: the host has no default route"));
  // IPv6 alone.
  Here("-6 route add default via fd09:1::1");
  auto echo = ProbeThere("echo 7");
  ASSERT_TRUE(echo->WaitFor("listening"));
  Finished six =
      Program::Start(OnHost({"--rm", "demo", "sh", "-c",
                             "/probe/net_probe show; /probe/net_probe udp fd09:1::1 7 9"}),
                     {})
          ->Finish();
  EXPECT_THAT(six.out, testing::EndsWith("answered\n")) << six.err;
  EXPECT_EQ(six.out.find("10.0.2.15"), std::string::npos);
}

}  // namespace
}  // namespace holt
