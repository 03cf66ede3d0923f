// Frames with their lengths before them, on a socket that takes and gives them in pieces.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "base/file.h"
#include "base/socket.h"
#include "vmm/devices/net_end.h"

namespace holt::vmm {
namespace {

std::string WithLength(std::string_view frame) {
  const uint32_t length = htonl(static_cast<uint32_t>(frame.size()));
  std::string out(reinterpret_cast<const char*>(&length), sizeof length);
  return out.append(frame);
}

class NetStreamTest : public ::testing::Test {
 protected:
  NetStreamTest() {
    auto [ours, theirs] = *base::SocketPair();
    EXPECT_TRUE(base::SetNonblocking(ours.get(), true).ok());
    end_ = MakeStreamEnd(std::move(ours));
    other_ = std::move(theirs);
  }
  void Give(std::string_view bytes) { ASSERT_TRUE(base::WriteFd(other_.get(), bytes).ok()); }
  // The next frame; empty: none now.
  std::string Next() {
    std::vector<std::byte> frame(net::kMaxFrame);
    net::Header header{.flags = 99};
    auto bytes = end_->Read(header, frame);
    if (!bytes) return "error: " + bytes.error().message();
    EXPECT_EQ(header.flags, 0);
    return {reinterpret_cast<const char*>(frame.data()), *bytes};
  }
  NetEnd::Sent Send(std::string frame) {
    net::Header header{};
    const size_t half = frame.size() / 2;
    iovec parts[] = {
        {nullptr, 0}, {frame.data(), half}, {frame.data() + half, frame.size() - half}};
    return end_->Write(header, parts, static_cast<uint32_t>(frame.size()));
  }
  std::string Taken(size_t bytes) {
    std::string out(bytes, '\0');
    const ssize_t got = recv(other_.get(), out.data(), bytes, MSG_WAITALL | MSG_DONTWAIT);
    out.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return out;
  }

  std::unique_ptr<NetEnd> end_;
  base::UniqueFd other_;
};

TEST_F(NetStreamTest, FramesComeWholeHoweverTheyArrive) {
  const std::string two = WithLength("first frame") + WithLength(std::string(60000, 'b'));
  constexpr size_t kFirst = 4 + 11;
  for (size_t i = 0; i < kFirst; ++i) {
    EXPECT_EQ(Next(), "");
    Give(two.substr(i, 1));
  }
  EXPECT_EQ(Next(), "first frame");
  Give(two.substr(kFirst));
  EXPECT_EQ(Next(), std::string(60000, 'b'));
  EXPECT_EQ(Next(), "");
  Give(WithLength("c") + WithLength("d"));
  EXPECT_EQ(Next(), "c");
  EXPECT_EQ(Next(), "d") << "without another event";
}

TEST_F(NetStreamTest, LengthsThatNoFrameHasEndIt) {
  EXPECT_EQ(Next(), "");
  Give(std::string(4, '\0'));
  EXPECT_EQ(Next(), "error: a frame of 0 bytes");
}

TEST_F(NetStreamTest, AFrameThatIsTooLongEndsIt) {
  const uint32_t length = htonl(net::kMaxFrame + 1);
  Give(std::string(reinterpret_cast<const char*>(&length), sizeof length));
  EXPECT_EQ(Next().substr(0, 6), "error:");
}

TEST_F(NetStreamTest, AHangUpIsAnError) {
  Give(WithLength("last"));
  other_.Reset();
  EXPECT_EQ(Next(), "last");
  EXPECT_EQ(Next(), "error: the other side hung up");
  EXPECT_EQ(Send("nobody hears this"), NetEnd::Sent::kLost);
}

TEST_F(NetStreamTest, ASocketThatIsFullLosesNothing) {
  const std::string frame(60000, 'x');
  int sent = 0;
  while (Send(frame) == NetEnd::Sent::kSent) ASSERT_LT(++sent, 1000) << "unbounded";
  ASSERT_GT(sent, 0);
  std::string taken;
  for (int i = 0; i < 1000 && taken.size() < static_cast<size_t>(sent) * (frame.size() + 4); ++i) {
    taken += Taken(100'000);
    // The rest of the last frame goes first.
    if (Send("the next") == NetEnd::Sent::kSent) {
      taken += Taken(1 << 20);
      break;
    }
  }
  std::string expected;
  for (int i = 0; i < sent; ++i) expected += WithLength(frame);
  EXPECT_TRUE(taken == expected + WithLength("the next")) << taken.size() << " bytes";
}

TEST_F(NetStreamTest, OffersNoOffloads) { EXPECT_EQ(end_->Features(), net::kMergeableBuffers); }

}  // namespace
}  // namespace holt::vmm
