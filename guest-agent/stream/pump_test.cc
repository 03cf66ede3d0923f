#include "guest-agent/stream/pump.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <signal.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <utility>

#include "base/file.h"
#include "base/socket.h"

namespace holt::guest_agent {
namespace {

using base::UniqueFd;

std::string Noise(size_t size) {
  std::string data(size, 0);
  for (size_t i = 0; i < size; ++i) data[i] = static_cast<char>(i * 2654435761u >> 11);
  return data;
}

class PumpTest : public ::testing::Test {
 protected:
  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);  // as the agent does
    int fds[2];
    ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
    read_end_.Reset(fds[0]);
    write_end_.Reset(fds[1]);
    auto pair = base::SocketPair();
    ASSERT_TRUE(pair.ok());
    std::tie(host_, guest_) = std::move(*pair);
    ASSERT_TRUE(base::SetNonblocking(host_.get(), true).ok());
  }
  std::shared_ptr<Pump> Start(Pump::Kind kind, UniqueFd source, UniqueFd sink) {
    auto pump = Pump::Start(*loop_, kind, std::move(source), std::move(sink), [this] { ++ends_; });
    EXPECT_TRUE(pump.ok());
    pumps_.push_back(*pump);
    return *pump;
  }
  // One that runs keeps itself.
  void TearDown() override {
    for (auto& pump : pumps_) pump->Abort();
  }
  void Spin(int turns = 5) {
    for (int i = 0; i < turns; ++i) loop_->RunOnce(std::chrono::milliseconds(2));
  }
  // Reads what is there; true at the end of file.
  static bool ReadAll(int fd, std::string& out) {
    char buffer[65536];
    ssize_t n;
    while ((n = read(fd, buffer, sizeof buffer)) > 0) out.append(buffer, static_cast<size_t>(n));
    return n == 0;
  }

  std::unique_ptr<base::EventLoop> loop_ = *base::EventLoop::Create();
  UniqueFd read_end_, write_end_, host_, guest_;
  std::vector<std::shared_ptr<Pump>> pumps_;
  int ends_ = 0;
};

TEST_F(PumpTest, OutputArrivesWholeThoughTheHostIsSlow) {
  Start(Pump::Kind::kOutput, std::move(read_end_), std::move(guest_));
  ASSERT_TRUE(base::SetNonblocking(write_end_.get(), true).ok());
  const std::string sent = Noise(8 << 20);
  std::string received;
  size_t at = 0;
  bool ended = false;
  for (int turn = 0; turn < 100000 && !ended; ++turn) {
    if (at < sent.size()) {
      ssize_t n = write(write_end_.get(), sent.data() + at, sent.size() - at);
      if (n > 0) at += static_cast<size_t>(n);
      if (at == sent.size()) write_end_.Reset();
    }
    loop_->RunOnce(std::chrono::milliseconds(0));
    if (turn % 3 == 0) ended = ReadAll(host_.get(), received);
  }
  EXPECT_TRUE(ended);
  EXPECT_TRUE(received == sent) << received.size();
  Spin();
  EXPECT_EQ(ends_, 1);
}

TEST_F(PumpTest, AStuckHostStopsTheWriter) {
  Start(Pump::Kind::kOutput, std::move(read_end_), std::move(guest_));
  ASSERT_TRUE(base::SetNonblocking(write_end_.get(), true).ok());
  const std::string block = Noise(64 << 10);
  size_t taken = 0;
  for (int turn = 0; turn < 2000; ++turn) {
    ssize_t n = write(write_end_.get(), block.data(), block.size());
    if (n > 0) taken += static_cast<size_t>(n);
    loop_->RunOnce(std::chrono::milliseconds(0));
  }
  EXPECT_LT(taken, size_t{2} << 20) << "only what pipe, socket and one buffer hold";
}

TEST_F(PumpTest, OutputSaidBeforeTheEndIsNotLost) {
  ASSERT_TRUE(base::WriteFd(write_end_.get(), "last words").ok());
  write_end_.Reset();
  auto pump = Start(Pump::Kind::kOutput, std::move(read_end_), std::move(guest_));
  pump->ProcessExited();
  Spin();
  std::string received;
  EXPECT_TRUE(ReadAll(host_.get(), received));
  EXPECT_EQ(received, "last words");
}

TEST_F(PumpTest, AHostThatClosesEndsALivingProcessesOutput) {
  Start(Pump::Kind::kOutput, std::move(read_end_), std::move(guest_));
  host_.Reset();
  ASSERT_TRUE(base::WriteFd(write_end_.get(), "x").ok());
  Spin();
  EXPECT_EQ(ends_, 1);
  EXPECT_EQ(write(write_end_.get(), "x", 1), -1);
  EXPECT_EQ(errno, EPIPE);
}

TEST_F(PumpTest, WhatABackgroundChildWritesLaterIsDiscarded) {
  auto pump = Start(Pump::Kind::kOutput, std::move(read_end_), std::move(guest_));
  pump->ProcessExited();
  host_.Reset();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(base::WriteFd(write_end_.get(), Noise(4096)).ok());
    Spin(1);
  }
  EXPECT_EQ(ends_, 0);
  write_end_.Reset();
  Spin();
  EXPECT_EQ(ends_, 1);
}

TEST_F(PumpTest, HalfCloseIsTheEndOfInput) {
  Start(Pump::Kind::kInput, std::move(guest_), std::move(write_end_));
  ASSERT_TRUE(base::WriteFd(host_.get(), "typed").ok());
  ASSERT_EQ(shutdown(host_.get(), SHUT_WR), 0);
  Spin();
  ASSERT_TRUE(base::SetNonblocking(read_end_.get(), true).ok());
  std::string received;
  EXPECT_TRUE(ReadAll(read_end_.get(), received));
  EXPECT_EQ(received, "typed");
  EXPECT_EQ(ends_, 1);
}

TEST_F(PumpTest, AProcessThatDoesNotReadIsNotFlooded) {
  Start(Pump::Kind::kInput, std::move(guest_), std::move(write_end_));
  const std::string block = Noise(64 << 10);
  size_t taken = 0;
  for (int turn = 0; turn < 1000; ++turn) {
    ssize_t n = write(host_.get(), block.data(), block.size());
    if (n > 0) taken += static_cast<size_t>(n);
    loop_->RunOnce(std::chrono::milliseconds(0));
  }
  EXPECT_LT(taken, size_t{2} << 20);
}

TEST_F(PumpTest, AProcessThatClosesItsInputIsTold) {
  Start(Pump::Kind::kInput, std::move(guest_), std::move(write_end_));
  read_end_.Reset();
  ASSERT_TRUE(base::WriteFd(host_.get(), "x").ok());
  Spin();
  EXPECT_EQ(ends_, 1);
  std::string received;
  EXPECT_TRUE(ReadAll(host_.get(), received));
}

TEST_F(PumpTest, APtyOutlivesAMomentWithoutAReader) {
  int master, slave;
  ASSERT_EQ(openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
  std::string path = ttyname(slave);
  termios raw{};
  ASSERT_EQ(tcgetattr(slave, &raw), 0);
  cfmakeraw(&raw);
  ASSERT_EQ(tcsetattr(slave, TCSANOW, &raw), 0);
  auto pump = Start(Pump::Kind::kPtyOutput, UniqueFd(master), std::move(guest_));
  ASSERT_EQ(write(slave, "one", 3), 3);
  Spin();
  close(slave);  // nobody has it now: reads of the master say EIO
  Spin(30);
  EXPECT_EQ(ends_, 0);
  slave = open(path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_GE(slave, 0);
  ASSERT_EQ(write(slave, "two", 3), 3);
  Spin(100);
  close(slave);
  pump->ProcessExited();
  Spin(30);
  EXPECT_EQ(ends_, 1);
  std::string received;
  EXPECT_TRUE(ReadAll(host_.get(), received));
  EXPECT_EQ(received, "onetwo");
}

TEST_F(PumpTest, AbortEndsAtOnce) {
  auto pump = Start(Pump::Kind::kOutput, std::move(read_end_), std::move(guest_));
  pump->Abort();
  pump->Abort();
  Spin();
  EXPECT_EQ(ends_, 1);
  EXPECT_TRUE(pump->ended());
}

}  // namespace
}  // namespace holt::guest_agent
