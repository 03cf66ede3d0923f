// A guest kernel played by the test, on real rings; a pair of datagram sockets is tap and wire.
#include "vmm/devices/net.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <deque>

#include "vmm/virtio/fake_driver.h"
#include "vmm/virtio/fake_port.h"

namespace holt::vmm {
namespace {

using namespace std::chrono_literals;
using net::Header;

constexpr uint16_t kSize = 16;
constexpr uint64_t kReceiveRing = 0x1000, kTransmitRing = 0x4000;
constexpr uint64_t kReceiveData = 0x10000, kTransmitData = 0x80000;
constexpr uint32_t kReceiveBuffer = 2048;

std::string Frame(size_t bytes, char fill = 'x') { return std::string(bytes, fill); }

class NetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    loop_ = *base::EventLoop::Create();
    int fds[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    wire_.Reset(fds[0]);
    std::vector<std::unique_ptr<NetEnd>> ends;
    ends.push_back(MakeTapEnd(base::UniqueFd(fds[1]), [this](int, unsigned offloads) {
      offloads_ = offloads;
      return base::Status();
    }));
    NetIdentity spec;
    spec.mac = {2, 0, 0, 1, 2, 3};
    spec.mtu = 9000;
    auto pairs = MakeNetPairs(*loop_, std::move(ends));
    ASSERT_TRUE(pairs.ok()) << pairs.error().message();
    device_.emplace(spec, std::move(*pairs));
  }
  void Start(uint64_t features = net::kOffloadFeatures) {
    ASSERT_TRUE(receive_port_.queue().Start(memory_, receive_.Config()).ok());
    ASSERT_TRUE(transmit_port_.queue().Start(memory_, transmit_.Config()).ok());
    QueuePort* ports[] = {&receive_port_, &transmit_port_};
    ASSERT_TRUE(device_->Start(features, ports).ok());
    // As the transports do: buffers may be waiting.
    for (size_t i : {NetQueues::kReceive, NetQueues::kTransmit}) device_->OnKick(i);
  }
  void Stop() {
    device_->Stop();
    receive_port_.queue().Stop();
    transmit_port_.queue().Stop();
  }
  void Pump() {
    for (int i = 0; i < 5; ++i) loop_->RunOnce(0ns);
  }

  // The guest sends one frame.
  void Send(const Header& header, std::string_view frame) {
    std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
    bytes += frame;
    transmit_.WriteBytes(kTransmitData, bytes);
    FakeDriver::Buffer buffer{kTransmitData, static_cast<uint32_t>(bytes.size()), false};
    transmit_.Offer(0, std::span(&buffer, 1));
    device_->OnKick(NetQueues::kTransmit);
    EXPECT_EQ(transmit_.TakeUsed().size(), 1u) << "the buffer comes back, whatever it held";
  }
  // What came out on the wire: header and frame, or nothing.
  std::string OnWire() {
    std::string bytes(70000, '\0');
    const ssize_t got = recv(wire_.get(), bytes.data(), bytes.size(), 0);
    bytes.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return bytes;
  }

  void Offer(int count, uint32_t bytes = kReceiveBuffer, bool write = true) {
    for (int i = 0; i < count; ++i) {
      const auto slot = static_cast<uint16_t>(next_receive_++ % kSize);
      FakeDriver::Buffer buffer{kReceiveData + slot * kReceiveBuffer, bytes, write};
      receive_.Offer(slot, std::span(&buffer, 1));
    }
    device_->OnKick(NetQueues::kReceive);
    Pump();
  }
  void Arrive(std::string_view frame, const Header& header = {}) {
    std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
    bytes += frame;
    ASSERT_EQ(send(wire_.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    Pump();
  }
  // The next frame as the guest puts it together; empty when there is none.
  std::string Received() {
    for (const auto& used : receive_.TakeUsed()) used_.push_back(used);
    if (used_.empty()) return "";
    std::string bytes;
    uint16_t buffers = 1;
    for (uint16_t i = 0; i < buffers; ++i) {
      if (used_.empty()) return "a buffer is missing";
      const auto used = used_.front();
      used_.pop_front();
      const uint64_t at = kReceiveData + used.id * kReceiveBuffer;
      if (i == 0) buffers = memory_->Read<Header>(GuestAddr(at))->num_buffers;
      bytes += receive_.ReadBytes(at, used.length);
    }
    return bytes.substr(std::min(sizeof(Header), bytes.size()));
  }

  std::unique_ptr<base::EventLoop> loop_;
  base::UniqueFd wire_;
  std::optional<NetDevice> device_;
  std::shared_ptr<const GuestMemory> memory_ = MakeTestMemory(1 << 20);
  FakeDriver receive_{memory_, kSize, kReceiveRing};
  FakeDriver transmit_{memory_, kSize, kTransmitRing};
  FakePort receive_port_{NetQueues::kQueueSize};
  FakePort transmit_port_{NetQueues::kQueueSize};
  std::deque<FakeDriver::Used> used_;
  unsigned offloads_ = 99;
  int next_receive_ = 0;
};

TEST_F(NetTest, SaysWhatItIs) {
  net::Config config{};
  device_->ReadConfig(0, std::as_writable_bytes(std::span(&config, 1)));
  EXPECT_EQ(config.mac[5], 3);
  EXPECT_EQ(config.status, net::kLinkUp);
  EXPECT_EQ(config.mtu, 9000);
  EXPECT_NE(device_->Features() & net::kMtu, 0u);
  EXPECT_EQ(device_->Features() & (1ull << 17), 0u);
}

TEST_F(NetTest, FramesGoBothWays) {
  Start();
  EXPECT_EQ(offloads_, net::TapOffloads(net::kOffloadFeatures));
  Send({}, Frame(60, 'a'));
  EXPECT_EQ(OnWire().substr(sizeof(Header)), Frame(60, 'a'));
  Offer(2);
  Arrive(Frame(100, 'b'));
  EXPECT_EQ(Received(), Frame(100, 'b'));
  EXPECT_EQ(receive_port_.notified, 1);
  EXPECT_EQ(device_->counters().sent_packets, 1u);
  EXPECT_EQ(device_->counters().sent_bytes, 60u);
  EXPECT_EQ(device_->counters().received_packets, 1u);
  EXPECT_EQ(device_->counters().received_bytes, 100u);
}

TEST_F(NetTest, AFrameIsSpreadOverBuffersAllAtOnce) {
  Start();
  Offer(15);
  std::string frame = Frame(10000);
  for (size_t i = 0; i < frame.size(); ++i) frame[i] = static_cast<char>('a' + i % 26);
  Arrive(frame);
  EXPECT_EQ(Received(), frame);
}

TEST_F(NetTest, AFrameWaitsForBuffersAndTheTapIsLeftAlone) {
  Start();
  Arrive(Frame(5000, 'c'));
  Arrive(Frame(50, 'd'));
  EXPECT_EQ(Received(), "");
  Offer(1);
  EXPECT_EQ(Received(), "") << "one buffer is too few";
  Offer(1);
  Offer(1);
  EXPECT_EQ(Received(), Frame(5000, 'c'));
  Offer(1);
  EXPECT_EQ(Received(), Frame(50, 'd'));
  EXPECT_EQ(device_->counters().received_dropped, 0u);
}

TEST_F(NetTest, BuffersThatNeverSufficeDoNotFreezeIt) {
  Start();
  for (int i = 0; i < kSize; ++i) Offer(1, 64);
  Arrive(Frame(5000));
  EXPECT_EQ(device_->counters().received_dropped, 1u);
  Arrive(Frame(40, 'e'));
  EXPECT_EQ(Received(), Frame(40, 'e'));
}

TEST_F(NetTest, ABufferWithoutRoomForAHeaderGoesBackEmpty) {
  Start();
  Offer(1, 11);
  Arrive(Frame(40));
  const auto used = receive_.TakeUsed();
  ASSERT_EQ(used.size(), 1u);
  EXPECT_EQ(used[0].length, 0u);
  EXPECT_EQ(device_->counters().received_dropped, 1u);
  Offer(1, 64, false);
  Arrive(Frame(40));
  EXPECT_EQ(receive_.TakeUsed().size(), 1u) << "a buffer that may not be written to at all";
}

TEST_F(NetTest, WithoutMergeableBuffersAFrameTakesOne) {
  Start(net::kOffloadFeatures & ~net::kMergeableBuffers);
  Offer(3);
  Arrive(Frame(5000));
  EXPECT_EQ(device_->counters().received_dropped, 1u);
  EXPECT_EQ(receive_.TakeUsed().size(), 1u);
  Arrive(Frame(500, 'f'));
  EXPECT_EQ(Received(), Frame(500, 'f'));
}

TEST_F(NetTest, OddFramesOfTheGuestDoNotReachTheTap) {
  Start();
  Send({}, Frame(13));
  Send({}, "");
  Header header{};
  header.gso_type = net::kSegmentsTcp4;
  header.gso_size = 1;
  Send(header, Frame(60));
  FakeDriver::Buffer shorter{kTransmitData, sizeof(Header) - 1, false};
  transmit_.Offer(0, std::span(&shorter, 1));
  FakeDriver::Buffer huge{kTransmitData, sizeof(Header) + net::kMaxFrame + 1, false};
  transmit_.Offer(1, std::span(&huge, 1));
  device_->OnKick(NetQueues::kTransmit);
  EXPECT_EQ(transmit_.TakeUsed().size(), 2u);
  EXPECT_EQ(OnWire(), "");
  EXPECT_EQ(device_->counters().sent_dropped, 5u);
  EXPECT_EQ(transmit_port_.broken, "");
  Send({}, Frame(net::kMaxFrame));
  EXPECT_EQ(OnWire().size(), sizeof(Header) + net::kMaxFrame);
}

TEST_F(NetTest, AFrameInOneByteBuffersGoesOutWhole) {
  Start();
  transmit_.WriteBytes(kTransmitData, std::string(sizeof(Header), '\0') + Frame(14, 'g'));
  std::vector<FakeDriver::Buffer> buffers;
  for (uint64_t i = 0; i < sizeof(Header) + 14; ++i)
    buffers.push_back({kTransmitData + i, 1, false});
  ASSERT_TRUE(transmit_port_.queue().running());
  Stop();
  ASSERT_TRUE(receive_port_.queue().Start(memory_, receive_.Config(true)).ok());
  ASSERT_TRUE(transmit_port_.queue().Start(memory_, transmit_.Config(true)).ok());
  QueuePort* ports[] = {&receive_port_, &transmit_port_};
  ASSERT_TRUE(device_->Start(net::kOffloadFeatures, ports).ok());
  transmit_.OfferIndirect(0, kTransmitData + 0x1000, buffers);
  device_->OnKick(NetQueues::kTransmit);
  EXPECT_EQ(OnWire().substr(sizeof(Header)), Frame(14, 'g'));
}

TEST_F(NetTest, AFrameFromBeforeTheResetIsNotGivenToWhoCannotTakeIt) {
  Start(0);
  EXPECT_EQ(offloads_, 0u);
  Offer(1);
  Header header{};
  header.flags = net::kNeedsChecksum;
  Arrive(Frame(60), header);
  EXPECT_EQ(Received(), "");
  EXPECT_EQ(device_->counters().received_dropped, 1u);
}

TEST_F(NetTest, AResetWithAFrameWaitingLeavesNothingBehind) {
  Start();
  Offer(1);
  Arrive(Frame(5000));
  EXPECT_EQ(receive_port_.queue().in_flight(), 1);
  device_->Stop();
  EXPECT_EQ(receive_port_.queue().in_flight(), 0) << "its state can be saved";
  EXPECT_EQ(receive_port_.queue().next_available(), 0);
  receive_port_.queue().Stop();
  transmit_port_.queue().Stop();
  Pump();
  Start();
  Arrive(Frame(60, 'h'));
  EXPECT_EQ(Received(), Frame(60, 'h'));
}

TEST_F(NetTest, ATapThatGoesAwayIsNoBusyLoop) {
  Start();
  Offer(1);
  wire_.Reset();
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
  base::UniqueFd other(fds[0]);
  NetQueues::Options options;
  options.loop = loop_.get();
  options.end = MakeTapEnd(base::UniqueFd(fds[1]));
  auto queues = NetQueues::Create(std::move(options));
  ASSERT_TRUE(queues.ok());
  other.Reset();  // hangs up: EPOLLHUP, whatever is asked for
  Pump();
  const auto before = base::EventLoop::Clock::now();
  loop_->RunOnce(20ms);
  EXPECT_GE(base::EventLoop::Clock::now() - before, 15ms) << "the loop is silent";
}

TEST_F(NetTest, ABrokenRingIsReportedAndTouchedNoMore) {
  Start();
  transmit_.OfferHead(kSize);
  device_->OnKick(NetQueues::kTransmit);
  EXPECT_NE(transmit_port_.broken, "");
  receive_.OfferHead(kSize);
  Arrive(Frame(60));
  EXPECT_NE(receive_port_.broken, "");
  device_->OnKick(NetQueues::kReceive);
  Pump();
}

}  // namespace
}  // namespace holt::vmm
