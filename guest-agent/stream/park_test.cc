#include "guest-agent/stream/park.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "base/file.h"
#include "base/socket.h"
#include "guest-agent/stream/vsock.h"

namespace holt::guest_agent {
namespace {

using base::UniqueFd;

class ParkTest : public ::testing::Test {
 protected:
  // A stream that arrives; the test keeps the host's end.
  UniqueFd Arrive(uint64_t id, size_t bytes = 8, std::string_view more = "") {
    auto [host, guest] = *base::SocketPair();
    EXPECT_TRUE(base::SetNonblocking(guest.get(), true).ok());
    char greeting[8];
    memcpy(greeting, &id, sizeof id);
    EXPECT_TRUE(base::WriteFd(host.get(), {greeting, bytes}).ok());
    EXPECT_TRUE(base::WriteFd(host.get(), more).ok());
    park_.Park(std::move(guest));
    return std::move(host);
  }
  void Take(std::vector<uint64_t> ids) {
    park_.Take(ids, [this](base::Result<std::vector<UniqueFd>> taken) {
      ++answers_;
      taken_ = std::move(taken);
    });
  }
  void Spin(int milliseconds = 0) {
    auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
    do {
      loop_->RunOnce(std::chrono::milliseconds(5));
    } while (std::chrono::steady_clock::now() < until);
  }
  static bool Closed(int host) {
    char c;
    ssize_t n = recv(host, &c, 1, MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno == ECONNRESET);
  }

  std::unique_ptr<base::EventLoop> loop_ = *base::EventLoop::Create();
  StreamPark park_{*loop_, std::chrono::milliseconds(100)};
  int answers_ = 0;
  base::Result<std::vector<UniqueFd>> taken_ = base::Error(base::Code::kInternal, "none yet");
};

TEST_F(ParkTest, StreamsBeforeTheCall) {
  UniqueFd a = Arrive(7, 8, "hello");
  UniqueFd b = Arrive(9);
  Spin(20);
  EXPECT_EQ(park_.parked(), 2u);
  Take({9, 0, 7});
  ASSERT_EQ(answers_, 1);
  ASSERT_TRUE(taken_.ok());
  EXPECT_FALSE((*taken_)[1]);
  EXPECT_EQ(park_.parked(), 0u);
  // What followed the id was not eaten.
  char text[16] = {};
  EXPECT_EQ(read((*taken_)[2].get(), text, sizeof text), 5);
  EXPECT_STREQ(text, "hello");
}

TEST_F(ParkTest, TheCallBeforeItsStreams) {
  Take({1, 2});
  EXPECT_EQ(answers_, 0);
  UniqueFd a = Arrive(1);
  Spin(10);
  EXPECT_EQ(answers_, 0);
  UniqueFd b = Arrive(2);
  Spin(10);
  ASSERT_EQ(answers_, 1);
  EXPECT_TRUE(taken_.ok());
}

TEST_F(ParkTest, NoStreamsAtAll) {
  Take({0, 0, 0});
  ASSERT_EQ(answers_, 1);
  EXPECT_EQ(taken_->size(), 3u);
}

TEST_F(ParkTest, AMissingStreamIsAnErrorAfterAWhile) {
  UniqueFd a = Arrive(1);
  Take({1, 2});
  Spin(150);
  ASSERT_EQ(answers_, 1);
  ASSERT_FALSE(taken_.ok());
  EXPECT_EQ(taken_.error().code(), base::Code::kDeadlineExceeded);
  EXPECT_EQ(taken_.error().message(), "stream 2 did not arrive in time");
}

TEST_F(ParkTest, NobodysStreamsGo) {
  UniqueFd named = Arrive(1);
  UniqueFd unfinished = Arrive(2, 3);
  Spin(10);
  EXPECT_EQ(park_.parked(), 2u);
  Spin(150);
  EXPECT_EQ(park_.parked(), 0u);
  EXPECT_TRUE(Closed(named.get()));
  EXPECT_TRUE(Closed(unfinished.get()));
}

TEST_F(ParkTest, AStreamThatHangsUpGoes) {
  UniqueFd host = Arrive(2, 3);
  host.Reset();
  Spin(10);
  EXPECT_EQ(park_.parked(), 0u);
}

TEST_F(ParkTest, OneIdOneStream) {
  UniqueFd a = Arrive(5);
  Spin(10);
  UniqueFd b = Arrive(5);
  UniqueFd zero = Arrive(0);
  Spin(10);
  EXPECT_EQ(park_.parked(), 1u);
  EXPECT_FALSE(Closed(a.get()));
  EXPECT_TRUE(Closed(b.get()));
  EXPECT_TRUE(Closed(zero.get()));
  Take({5, 5});
  ASSERT_EQ(answers_, 1);
  EXPECT_EQ(taken_.error().code(), base::Code::kInvalidArgument);
  Take({6});
  Take({6});
  EXPECT_EQ(answers_, 2) << "the second call for 6 fails at once";
}

TEST_F(ParkTest, ManyMakeRoom) {
  std::vector<UniqueFd> hosts;
  for (size_t i = 1; i <= StreamPark::kMaxParked + 10; ++i) hosts.push_back(Arrive(i));
  EXPECT_EQ(park_.parked(), StreamPark::kMaxParked);
  EXPECT_TRUE(Closed(hosts[0].get()));
}

TEST(VsockTest, OnlyTheHostIsTheHost) {
  sockaddr_vm peer{};
  peer.svm_family = AF_VSOCK;
  for (uint32_t cid : {0u, 1u, 3u, UINT32_MAX}) {
    peer.svm_cid = cid;
    EXPECT_FALSE(IsHost(peer)) << cid;
  }
  peer.svm_cid = VMADDR_CID_HOST;
  EXPECT_TRUE(IsHost(peer));
  peer.svm_family = AF_INET;
  EXPECT_FALSE(IsHost(peer));
}

}  // namespace
}  // namespace holt::guest_agent
