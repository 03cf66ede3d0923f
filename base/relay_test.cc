#include "base/relay.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/socket.h"

namespace holt::base {
namespace {

using namespace std::chrono_literals;

class RelayTest : public ::testing::Test {
 protected:
  void SetUp() override {
    loop_ = *EventLoop::Create();
    auto a = *SocketPair();
    auto b = *SocketPair();
    left_ = std::move(a.first);
    right_ = std::move(b.first);
    auto relay =
        Relay::Start(*loop_, std::move(a.second), std::move(b.second), [this] { ended_ = true; });
    ASSERT_TRUE(relay.ok());
    relay_ = *relay;
    for (int fd : {left_.get(), right_.get()}) ASSERT_TRUE(SetNonblocking(fd, true).ok());
  }
  void Turn(int times = 20) {
    for (int i = 0; i < times; ++i) loop_->RunOnce(1ms);
  }
  static std::string Read(int fd) {
    char buffer[4096];
    ssize_t n = read(fd, buffer, sizeof buffer);
    return n < 0 ? "nothing" : n == 0 ? "end" : std::string(buffer, static_cast<size_t>(n));
  }

  std::unique_ptr<EventLoop> loop_;
  UniqueFd left_, right_;
  std::weak_ptr<Relay> relay_;
  bool ended_ = false;
};

TEST_F(RelayTest, GoesBothWaysAndPassesEachEndOn) {
  ASSERT_TRUE(WriteFd(left_.get(), "to the right").ok());
  ASSERT_TRUE(WriteFd(right_.get(), "to the left").ok());
  Turn();
  EXPECT_EQ(Read(right_.get()), "to the right");
  EXPECT_EQ(Read(left_.get()), "to the left");
  shutdown(left_.get(), SHUT_WR);
  Turn();
  EXPECT_EQ(Read(right_.get()), "end");
  EXPECT_FALSE(ended_);
  ASSERT_TRUE(WriteFd(right_.get(), "an answer").ok());
  Turn();
  EXPECT_EQ(Read(left_.get()), "an answer");
  right_.Reset();
  Turn();
  EXPECT_EQ(Read(left_.get()), "end");
  EXPECT_TRUE(ended_);
  EXPECT_TRUE(relay_.expired());
}

TEST_F(RelayTest, ASideThatDoesNotReadStopsTheOtherAndLosesNothing) {
  std::string sent(8 << 20, 0);
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 2654435761u >> 11);
  size_t at = 0;
  size_t most = 0;
  for (int i = 0; i < 2000; ++i) {
    ssize_t n = write(left_.get(), sent.data() + at, std::min<size_t>(sent.size() - at, 100000));
    if (n > 0) at += static_cast<size_t>(n);
    loop_->RunOnce(0ms);
  }
  most = at;
  EXPECT_LT(most, 2u << 20) << "what nobody reads is kept somewhere";
  std::string got;
  char buffer[65536];
  while (got.size() < sent.size()) {
    ssize_t n = read(right_.get(), buffer, sizeof buffer);
    if (n > 0) got.append(buffer, static_cast<size_t>(n));
    n = write(left_.get(), sent.data() + at, std::min<size_t>(sent.size() - at, 100000));
    if (n > 0) at += static_cast<size_t>(n);
    loop_->RunOnce(0ms);
  }
  EXPECT_TRUE(got == sent);
}

// The end of what was sent before a side went away still arrives; no busy loop meanwhile.
TEST_F(RelayTest, ASideThatIsGoneEndsItWhenAllIsDelivered) {
  std::string sent(200000, 'x');
  ASSERT_TRUE(SetNonblocking(left_.get(), false).ok());
  size_t at = 0;
  while (at < sent.size()) {
    ssize_t n = send(left_.get(), sent.data() + at, sent.size() - at, MSG_DONTWAIT);
    if (n > 0) at += static_cast<size_t>(n);
    loop_->RunOnce(0ms);
  }
  left_.Reset();
  Turn();
  size_t got = 0;
  for (int i = 0; i < 1000; ++i) {
    char buffer[65536];
    ssize_t n = read(right_.get(), buffer, sizeof buffer);
    if (n > 0) got += static_cast<size_t>(n);
    if (n == 0) break;
    loop_->RunOnce(0ms);
  }
  EXPECT_EQ(got, sent.size());
}

TEST_F(RelayTest, AbortClosesBoth) {
  relay_.lock()->Abort();
  Turn();
  EXPECT_TRUE(ended_);
  EXPECT_EQ(Read(left_.get()), "end");
  EXPECT_EQ(Read(right_.get()), "end");
}

}  // namespace
}  // namespace holt::base
