// The host's ends of what a process has beside its stdio, with a socket pair for each stream.
#include "shim/monitor/descriptors.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "base/socket.h"

namespace holt::shim {
namespace {

using base::UniqueFd;
using namespace std::chrono_literals;

struct Pipe {
  UniqueFd read, write;
};
Pipe MakePipe() {
  int fds[2];
  EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

template <typename... Fds>
std::vector<UniqueFd> List(Fds... fds) {
  std::vector<UniqueFd> out;
  (out.push_back(std::move(fds)), ...);
  return out;
}

class DescriptorsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);
    loop_ = *base::EventLoop::Create();
  }
  // Of `fds`; the guest's ends of their streams are in guest_.
  void Make(std::vector<UniqueFd> fds) {
    auto made = Descriptors::Make(*loop_, std::move(fds));
    ASSERT_TRUE(made.ok()) << made.error().message();
    descriptors_ = std::move(*made);
    std::vector<UniqueFd> streams;
    for (size_t i = 0; i < descriptors_->streams(); ++i) {
      auto pair = *base::SocketPair();
      streams.push_back(std::move(pair.first));
      guest_.push_back(std::move(pair.second));
    }
    descriptors_->Connect(std::move(streams));
  }
  void Turn(int times = 10) {
    for (int i = 0; i < times; ++i) loop_->RunOnce(1ms);
  }
  // What a read finds: "end", "nothing", or it.
  static std::string Read(const UniqueFd& fd) {
    EXPECT_TRUE(base::SetNonblocking(fd.get(), true).ok());
    char buffer[256];
    const ssize_t n = read(fd.get(), buffer, sizeof buffer);
    if (n < 0) return errno == EAGAIN ? "nothing" : "end";
    return n == 0 ? "end" : std::string(buffer, static_cast<size_t>(n));
  }
  static ssize_t Write(const UniqueFd& fd, std::string_view text) {
    return write(fd.get(), text.data(), text.size());
  }

  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<Descriptors> descriptors_;
  std::vector<UniqueFd> guest_;
};

TEST_F(DescriptorsTest, PipesByHowTheyAreOpen) {
  Pipe in = MakePipe();
  Pipe out = MakePipe();
  Make(List(std::move(in.read), UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC)),
            std::move(out.write)));
  auto told = descriptors_->Describe({11, 12});
  ASSERT_EQ(told.size(), 3);
  EXPECT_EQ(told[0].kind(), agent::v1::Descriptor::INPUT);
  EXPECT_EQ(told[0].stream(), 11u);
  EXPECT_EQ(told[1].kind(), agent::v1::Descriptor::NULL_DEVICE);
  EXPECT_EQ(told[1].stream(), 0u);
  EXPECT_EQ(told[2].kind(), agent::v1::Descriptor::OUTPUT);
  EXPECT_EQ(told[2].stream(), 12u);
  EXPECT_EQ(Write(in.write, "in"), 2);
  EXPECT_EQ(Write(guest_[1], "out"), 3);
  Turn();
  EXPECT_EQ(Read(guest_[0]), "in");
  EXPECT_EQ(Read(out.read), "out");
  in.write.Reset();
  guest_[1].Reset();
  Turn();
  EXPECT_EQ(Read(guest_[0]), "end");
  EXPECT_EQ(Read(out.read), "end") << "nobody else has it";
}

TEST_F(DescriptorsTest, OthersPipesStayAsTheyAre) {
  Pipe in = MakePipe();
  UniqueFd theirs(fcntl(in.read.get(), F_DUPFD_CLOEXEC, 3));
  Make(List(std::move(in.read)));
  EXPECT_EQ(fcntl(theirs.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(DescriptorsTest, TheReadersEndIsTheWritersEnd) {
  Pipe in = MakePipe();
  Pipe out = MakePipe();
  Pipe dead = MakePipe();
  dead.read.Reset();
  Make(List(std::move(in.read), std::move(out.write), std::move(dead.write)));
  guest_[0].Reset();
  out.read.Reset();
  Turn();
  EXPECT_EQ(Write(in.write, "x"), -1);
  EXPECT_EQ(errno, EPIPE);
  EXPECT_EQ(Read(guest_[1]), "end");
  EXPECT_EQ(Read(guest_[2]), "end") << "nobody read it from the beginning";
}

TEST_F(DescriptorsTest, ConnectionsBothWaysWithHalfClose) {
  auto pair = *base::SocketPair();
  Make(List(std::move(pair.second)));
  EXPECT_EQ(descriptors_->Describe({5})[0].kind(), agent::v1::Descriptor::CONNECTION);
  EXPECT_EQ(Write(pair.first, "in"), 2);
  shutdown(pair.first.get(), SHUT_WR);
  EXPECT_EQ(Write(guest_[0], "out"), 3);
  Turn();
  EXPECT_EQ(Read(guest_[0]), "in");
  EXPECT_EQ(Read(guest_[0]), "end");
  EXPECT_EQ(Read(pair.first), "out");
  EXPECT_EQ(Write(guest_[0], "more"), 4);
  Turn();
  EXPECT_EQ(Read(pair.first), "more");
}

TEST_F(DescriptorsTest, WhoClosedItsSocketWholeTakesNothing) {
  auto pair = *base::SocketPair();
  Make(List(std::move(pair.second)));
  EXPECT_EQ(Write(pair.first, "last"), 4);
  pair.first.Reset();
  Turn();
  EXPECT_EQ(Read(guest_[0]), "last");
  EXPECT_EQ(Read(guest_[0]), "end");
  EXPECT_EQ(Write(guest_[0], "x"), -1);
}

TEST_F(DescriptorsTest, WhoComesToAListeningSocketIsTold) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("listener-" + std::to_string(getpid()))).string();
  UniqueFd listener = *base::ListenUnix(path, 512);
  Make(List(std::move(listener)));
  EXPECT_EQ(descriptors_->streams(), 0u);
  auto told = descriptors_->Describe({});
  EXPECT_EQ(told[0].kind(), agent::v1::Descriptor::LISTENER);
  EXPECT_EQ(told[0].family(), static_cast<uint32_t>(AF_UNIX));
  std::vector<Descriptors::Arrival> arrivals;
  std::vector<UniqueFd> clients;
  clients.push_back(*base::ConnectUnix(path));
  Turn();
  EXPECT_EQ(arrivals.size(), 0u);
  descriptors_->OnArrival(
      [&](Descriptors::Arrival arrival) { arrivals.push_back(std::move(arrival)); });
  Turn();
  ASSERT_EQ(arrivals.size(), 1u);
  auto pair = *base::SocketPair();
  descriptors_->Join(std::move(arrivals[0]), std::move(pair.first));
  EXPECT_EQ(Write(clients[0], "hello"), 5);
  Turn();
  EXPECT_EQ(Read(pair.second), "hello");

  // More than its share waits in the socket's queue.
  for (size_t i = 0; i < Descriptors::kMaxConnections + 9; ++i)
    clients.push_back(*base::ConnectUnix(path));
  Turn(2 * static_cast<int>(Descriptors::kMaxConnections));
  EXPECT_EQ(arrivals.size(), Descriptors::kMaxConnections);
  pair.second.Reset();
  Turn();
  EXPECT_EQ(arrivals.size(), Descriptors::kMaxConnections + 1) << "one has ended";
  arrivals.clear();
  Turn(30);
  EXPECT_EQ(arrivals.size(), 9u);

  descriptors_->ProcessExited(1s);
  EXPECT_FALSE(base::ConnectUnix(path).ok());
  auto late = *base::SocketPair();
  descriptors_->Join(std::move(arrivals[0]), std::move(late.first));
  EXPECT_EQ(Read(late.second), "end") << "nobody is there to talk to";
  arrivals.clear();
  unlink(path.c_str());
}

TEST_F(DescriptorsTest, TheEndIsWhenEverythingIsOut) {
  Pipe out = MakePipe();
  auto pair = *base::SocketPair();
  Make(List(std::move(out.write), std::move(pair.second)));
  bool ended = false;
  EXPECT_EQ(Write(guest_[0], "last words"), 10);
  descriptors_->OnEnd([&] { ended = true; });
  descriptors_->ProcessExited(200ms);
  Turn();
  EXPECT_FALSE(ended);
  guest_[0].Reset();
  guest_[1].Reset();
  Turn();
  EXPECT_TRUE(ended);
  EXPECT_EQ(Read(out.read), "last words");
  EXPECT_EQ(Read(pair.first), "end");
}

TEST_F(DescriptorsTest, WhatDoesNotEndIsEnded) {
  Pipe out = MakePipe();
  auto pair = *base::SocketPair();
  Make(List(std::move(out.write), std::move(pair.second)));
  bool ended = false;
  descriptors_->OnEnd([&] { ended = true; });
  descriptors_->ProcessExited(50ms);
  const auto end = std::chrono::steady_clock::now() + 5s;
  while (!ended && std::chrono::steady_clock::now() < end) loop_->RunOnce(10ms);
  EXPECT_TRUE(ended);
  EXPECT_EQ(Read(out.read), "end");
  EXPECT_EQ(Read(pair.first), "end");
}

TEST_F(DescriptorsTest, OthersAreNamed) {
  auto refused = [&](UniqueFd fd) {
    auto made = Descriptors::Make(*loop_, List(UniqueFd(open("/dev/null", O_RDWR)), std::move(fd)));
    return made ? "taken" : made.error().message();
  };
  EXPECT_TRUE(refused(UniqueFd(open("/etc/passwd", O_RDONLY)))
                  .starts_with("descriptor 4: is a regular file: not supported"));
  EXPECT_TRUE(refused(UniqueFd(socket(AF_UNIX, SOCK_SEQPACKET, 0)))
                  .starts_with("descriptor 4: is a socket of datagrams"));
}

}  // namespace
}  // namespace holt::shim
