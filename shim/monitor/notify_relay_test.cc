// An agent that says what it likes, and hosts that listen, or do not.
#include "shim/monitor/notify_relay.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/file.h"
#include "base/socket.h"
#include "rpc/datagram.h"
#include "shim/monitor/notification.h"
#include "shim/state/heard_notification.h"

namespace holt::shim {
namespace {

using namespace std::chrono_literals;

TEST(NotificationTest, OnlyWhatMeansSomethingOnTheHost) {
  auto said = [](std::string_view text) { return NotificationForHost(text, 77); };
  EXPECT_EQ(said("READY=1"), "READY=1\n");
  EXPECT_EQ(said("READY=1\nSTATUS=well, so far\nWATCHDOG=1\n"),
            "READY=1\nSTATUS=well, so far\nWATCHDOG=1\n");
  EXPECT_EQ(said("RELOADING=1\nMONOTONIC_USEC=12345"), "RELOADING=1\nMONOTONIC_USEC=77\n");
  EXPECT_EQ(said("STOPPING=1\nERRNO=5\nEXIT_STATUS=3\nEXTEND_TIMEOUT_USEC=9\nWATCHDOG_USEC=8\n"
                 "WATCHDOG=trigger"),
            "STOPPING=1\nERRNO=5\nEXIT_STATUS=3\nEXTEND_TIMEOUT_USEC=9\nWATCHDOG_USEC=8\n"
            "WATCHDOG=trigger\n");
  // Numbers of the guest's processes and descriptors, and who else may speak.
  EXPECT_EQ(said("MAINPID=1\nMAINPIDFD=1\nFDSTORE=1\nFDNAME=x\nFDSTOREREMOVE=1\nBARRIER=1\n"
                 "NOTIFYACCESS=all\nX_ANY=1\nBUSERROR=x"),
            "");
  // What is no value of it, and no line.
  EXPECT_EQ(said("READY=2\nREADY=\nREADY\nERRNO=-1\nERRNO=12345678901234567890123\nWATCHDOG=x"),
            "");
  EXPECT_EQ(said(" READY=1\nready=1\n=1\n\n\n"), "");
  EXPECT_EQ(said(std::string("READY=1\0", 8)), "");
  EXPECT_EQ(said("STATUS=\x1b[31mred\r"), "STATUS=\\x1b[31mred\\x0d\n");
  EXPECT_EQ(said(""), "");
  EXPECT_TRUE(SaysReady("STATUS=READY=1\nREADY=1\n"));
  EXPECT_FALSE(SaysReady("STATUS=READY=1\n"));
}

class NotifyRelayTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string path = (std::filesystem::temp_directory_path() / "notify-XXXXXX").string();
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    directory_ = path;
    loop_ = *base::EventLoop::Create();
    host_ = *base::BindDatagramUnix(Host());
    const int on = 1;
    ASSERT_EQ(setsockopt(host_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
    auto socket = OpenNotifySocket(Host());
    ASSERT_TRUE(socket.ok()) << socket.error().message();
    relay_ = *NotifyRelay::Start(*loop_, *base::ListenUnix(Guest()), std::move(*socket));
    guest_ = *base::ConnectUnix(Guest(), SOCK_NONBLOCK);
  }
  void TearDown() override {
    relay_.reset();
    std::filesystem::remove_all(directory_);
  }
  std::string Host() const { return directory_ + "/host"; }
  std::string Guest() const { return directory_ + "/guest"; }
  void Turn(int times = 10) {
    for (int i = 0; i < times; ++i) loop_->RunOnce(1ms);
  }
  void TurnFor(std::chrono::milliseconds time) {
    for (auto end = std::chrono::steady_clock::now() + time;
         std::chrono::steady_clock::now() < end;)
      loop_->RunOnce(5ms);
  }
  // False when the relay does not take more of it.
  bool Say(std::string_view text) {
    const std::string framed = rpc::FrameDatagram(text);
    return send(guest_.get(), framed.data(), framed.size(), MSG_DONTWAIT | MSG_NOSIGNAL) ==
           static_cast<ssize_t>(framed.size());
  }
  // The next one on the host, and who it is from; "" when there is none.
  std::string Heard() {
    HeardNotification heard = HearNotification(host_.get());
    if (heard.sender != 0) sender_ = heard.sender;
    if (heard.descriptor) barrier_ = std::move(heard.descriptor);
    return heard.text;
  }

  std::string directory_;
  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<NotifyRelay> relay_;
  base::UniqueFd host_;
  base::UniqueFd guest_;
  base::UniqueFd barrier_;
  pid_t sender_ = 0;
};

TEST_F(NotifyRelayTest, PassesOnWhatIsSaidOnceItIsOpen) {
  EXPECT_TRUE(Say("STATUS=early\nMAINPID=7"));
  Turn();
  EXPECT_EQ(Heard(), "");
  relay_->Open({});
  Turn();
  EXPECT_EQ(Heard(), "STATUS=early\n");
  EXPECT_EQ(sender_, getpid());
  EXPECT_TRUE(Say("FDSTORE=1") && Say("READY=1") && Say("WATCHDOG=1"));
  Turn();
  EXPECT_EQ(Heard(), "READY=1\n");
  EXPECT_EQ(Heard(), "WATCHDOG=1\n");
  EXPECT_EQ(Heard(), "");
}

TEST_F(NotifyRelayTest, AReadyServiceIsFollowedByItsPidAndABarrier) {
  // Two processes that live.
  const pid_t sender = getppid();
  const pid_t main = 1;
  if (geteuid() != 0) GTEST_SKIP() << "only root speaks in the name of others";
  relay_->Open({.sender = sender, .main = main});
  bool ready = false;
  relay_->WhenReady([&] { ready = true; });
  EXPECT_TRUE(Say("STATUS=soon") && Say("MAINPID=99\nREADY=1") && Say("READY=1"));
  Turn();
  EXPECT_EQ(Heard(), "STATUS=soon\n");
  EXPECT_EQ(sender_, sender);
  EXPECT_EQ(Heard(), "READY=1\n");
  EXPECT_EQ(Heard(), "MAINPID=1\n");
  EXPECT_EQ(Heard(), "BARRIER=1");
  EXPECT_EQ(sender_, sender);
  ASSERT_TRUE(barrier_.valid());
  // Once more it is only said.
  EXPECT_EQ(Heard(), "READY=1\n");
  EXPECT_EQ(sender_, main);
  EXPECT_EQ(Heard(), "");
  Turn();
  EXPECT_FALSE(ready) << "the host has not taken it";
  barrier_.Reset();
  Turn();
  EXPECT_TRUE(ready);
  bool again = false;
  relay_->WhenReady([&] { again = true; });
  EXPECT_TRUE(again);
}

TEST_F(NotifyRelayTest, WhoWaitsIsToldOfTheEnd) {
  relay_->Open({.sender = getpid(), .main = getpid()});
  bool ended = false;
  relay_->WhenReady([&] { ended = true; });
  Turn();
  EXPECT_FALSE(ended);
  relay_->End();
  EXPECT_TRUE(ended);
}

TEST_F(NotifyRelayTest, ASenderThatIsGoneIsNotSpokenFor) {
  if (geteuid() != 0) GTEST_SKIP() << "only root speaks in the name of others";
  const pid_t gone = fork();
  if (gone == 0) _exit(0);
  ASSERT_EQ(waitpid(gone, nullptr, 0), gone);
  relay_->Open({.sender = gone, .main = getppid()});
  EXPECT_TRUE(Say("STATUS=x"));
  Turn();
  EXPECT_EQ(Heard(), "STATUS=x\n");
  EXPECT_EQ(sender_, getpid());
}

TEST_F(NotifyRelayTest, AFloodIsTakenSlowlyAndCostsNothing) {
  relay_->Open({});
  size_t said = 0;
  size_t heard = 0;
  const std::string text = "STATUS=" + std::string(4000, 'x');
  for (auto end = std::chrono::steady_clock::now() + 1500ms;
       std::chrono::steady_clock::now() < end;) {
    while (Say(text)) ++said;
    loop_->RunOnce(1ms);
    while (!Heard().empty()) ++heard;
  }
  EXPECT_GT(heard, 0u);
  EXPECT_LE(heard, 3u * NotifyRelay::kMaxPerSecond);
  // What waits is in the guest's socket.
  EXPECT_LE(said, heard + 200);
}

TEST_F(NotifyRelayTest, AFullHostIsAskedAgainAndNotWaitedFor) {
  relay_->Open({});
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(Say("STATUS=" + std::to_string(i)));
  const auto began = std::chrono::steady_clock::now();
  TurnFor(200ms);
  EXPECT_LT(std::chrono::steady_clock::now() - began, 2s);
  // None is lost, and their order is kept.
  for (int i = 0; i < 20; ++i) {
    std::string next = Heard();
    for (int turn = 0; turn < 100 && next.empty(); ++turn) {
      TurnFor(10ms);
      next = Heard();
    }
    EXPECT_EQ(next, "STATUS=" + std::to_string(i) + "\n");
  }
}

TEST_F(NotifyRelayTest, ADeadHostCostsNothing) {
  relay_->Open({.sender = getpid(), .main = getpid()});
  host_.Reset();
  bool ended = false;
  relay_->WhenReady([&] { ended = true; });
  EXPECT_TRUE(Say("READY=1"));
  Turn();
  EXPECT_TRUE(ended) << "nobody will take it";
  EXPECT_TRUE(Say("STATUS=x"));
  Turn();
}

TEST_F(NotifyRelayTest, WhatIsTooLongOrEndsInTheMiddleIsNoNotification) {
  relay_->Open({});
  EXPECT_TRUE(Say(std::string(rpc::kMaxNotification + 1, 'x')));
  EXPECT_TRUE(Say("READY=1"));
  Turn();
  EXPECT_EQ(Heard(), "");
  char byte;
  errno = 0;
  EXPECT_LE(recv(guest_.get(), &byte, 1, MSG_DONTWAIT), 0);
  EXPECT_NE(errno, EAGAIN) << "it is let go of";

  guest_ = *base::ConnectUnix(Guest(), SOCK_NONBLOCK);
  EXPECT_EQ(send(guest_.get(), "\0\x07READ", 6, MSG_NOSIGNAL), 6);
  Turn();
  guest_ = *base::ConnectUnix(Guest(), SOCK_NONBLOCK);
  EXPECT_TRUE(Say("READY=1"));
  Turn();
  EXPECT_EQ(Heard(), "READY=1\n") << "the last one counts";
}

class NotifySocketTest : public NotifyRelayTest {};

TEST_F(NotifySocketTest, IsADatagramSocketThatSomebodyListensTo) {
  base::UniqueFd root = *base::Open(directory_, O_PATH | O_DIRECTORY);
  EXPECT_TRUE(OpenNotifySocketBelow(root.get(), "host").ok());
  ASSERT_TRUE(base::WriteFile(directory_ + "/file", "").ok());
  ASSERT_EQ(symlink("host", (directory_ + "/link").c_str()), 0);
  ASSERT_TRUE(base::MakeDirs(directory_ + "/sub").ok());
  EXPECT_FALSE(OpenNotifySocketBelow(root.get(), "file").ok());
  EXPECT_FALSE(OpenNotifySocketBelow(root.get(), "link").ok());
  EXPECT_FALSE(OpenNotifySocketBelow(root.get(), "none").ok());
  base::UniqueFd sub = *base::Open(directory_ + "/sub", O_PATH | O_DIRECTORY);
  EXPECT_FALSE(OpenNotifySocketBelow(sub.get(), "../host").ok());
  auto stream = OpenNotifySocketBelow(root.get(), "guest");
  ASSERT_FALSE(stream.ok());
  EXPECT_EQ(stream.error().err(), EPROTOTYPE);
  host_.Reset();
  auto dead = OpenNotifySocket(Host());
  ASSERT_FALSE(dead.ok());
  EXPECT_EQ(dead.error().err(), ECONNREFUSED);
  EXPECT_FALSE(OpenNotifySocket("relative").ok());
  EXPECT_FALSE(OpenNotifySocket("@").ok());
  EXPECT_FALSE(OpenNotifySocket("@" + std::string(200, 'x')).ok());
}

TEST_F(NotifySocketTest, MayHaveNoNode) {
  base::UniqueFd abstract(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "holt-notify-test-" + std::to_string(getpid());
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  ASSERT_EQ(bind(abstract.get(), reinterpret_cast<sockaddr*>(&address),
                 static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size())),
            0);
  auto socket = OpenNotifySocket("@" + name);
  ASSERT_TRUE(socket.ok()) << socket.error().message();
  base::UniqueFd sender(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(SendNotification(sender.get(), *socket, "READY=1", 0, -1), 0);
  host_ = std::move(abstract);
  EXPECT_EQ(Heard(), "READY=1");
}

TEST(NotifyVariableTest, IsAPathInABindMount) {
  oci::Config config;
  config.process.emplace();
  config.mounts = {{.destination = "/run", .type = "tmpfs", .source = "tmpfs"},
                   {.destination = "/run/notify", .type = "bind", .source = "/host/notify"},
                   {.destination = "/s.sock", .type = "bind", .source = "/host/s"},
                   {.destination = "/run/notify/deep", .type = "tmpfs", .source = "tmpfs"}};
  auto find = [&](const std::string& value) {
    config.process->env = {"A=b", "NOTIFY_SOCKET=" + value};
    auto found = FindNotifyVariable(config);
    return found ? found->source + " " + found->below : "none";
  };
  EXPECT_EQ(find("/run/notify/notify.sock"), "/host/notify notify.sock");
  EXPECT_EQ(find("/run/notify/a/b"), "/host/notify a/b");
  EXPECT_EQ(find("/s.sock"), "/host/s ");
  EXPECT_EQ(find("/run/other"), "none");
  EXPECT_EQ(find("/run/notify/deep/x"), "none") << "another mount is on top";
  EXPECT_EQ(find("/run/notify/../x"), "none");
  EXPECT_EQ(find("/run/notify/.."), "none");
  EXPECT_EQ(find("@abstract"), "none");
  EXPECT_EQ(find(""), "none");
  EXPECT_EQ(find("/run/notifyx"), "none");
  config.process->env = {};
  EXPECT_FALSE(FindNotifyVariable(config));
}

}  // namespace
}  // namespace holt::shim
