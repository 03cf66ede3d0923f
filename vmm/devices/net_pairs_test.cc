// Several pairs of queues, and the control queue as a guest may use it.
#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <array>
#include <deque>

#include "vmm/devices/net.h"
#include "vmm/virtio/fake_driver.h"
#include "vmm/virtio/fake_port.h"

namespace holt::vmm {
namespace {

constexpr size_t kPairs = 3;
constexpr size_t kControlIndex = 2 * kPairs;
constexpr uint16_t kSize = 16;
constexpr uint64_t kData = 0x80000;
constexpr uint64_t kAnswer = 0x90000;
constexpr uint64_t kFeatures = net::kOffloadFeatures | net::kControlQueue | net::kMultiQueue;

struct Seen {
  bool active = true;
  int sent = 0;
};

class FakeEnd : public NetEnd {
 public:
  explicit FakeEnd(Seen& seen) : seen_(seen) {}
  int fd() const override { return fd_.get(); }
  uint64_t Features() const override { return net::kOffloadFeatures; }
  base::Status SetFeatures(uint64_t) override { return {}; }
  base::Status SetActive(bool active) override {
    seen_.active = active;
    return {};
  }
  base::Result<uint32_t> Read(net::Header&, std::span<std::byte>) override { return 0; }
  Sent Write(net::Header&, std::span<iovec>, uint32_t) override {
    ++seen_.sent;
    return Sent::kSent;
  }

 private:
  Seen& seen_;
  base::UniqueFd fd_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
};

class NetPairsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    loop_ = *base::EventLoop::Create();
    std::vector<std::unique_ptr<NetEnd>> ends;
    for (Seen& seen : seen_) ends.push_back(std::make_unique<FakeEnd>(seen));
    auto pairs = MakeNetPairs(*loop_, std::move(ends));
    ASSERT_TRUE(pairs.ok()) << pairs.error().message();
    device_.emplace(NetIdentity{}, std::move(*pairs));
    for (size_t i = 0; i <= kControlIndex; ++i) {
      drivers_.emplace_back(memory_, kSize, 0x1000 + i * 0x2000);
      ports_.emplace_back(NetQueues::kQueueSize);
    }
  }
  void Start(uint64_t features = kFeatures) {
    std::vector<QueuePort*> ports;
    for (size_t i = 0; i <= kControlIndex; ++i) {
      ASSERT_TRUE(ports_[i].queue().Start(memory_, drivers_[i].Config()).ok());
      ports.push_back(&ports_[i]);
    }
    ASSERT_TRUE(device_->Start(features, ports).ok());
  }
  // The acknowledgement; 99 when the buffer came back without one.
  int Command(std::string_view bytes, uint32_t room = 1, size_t index = kControlIndex) {
    FakeDriver& control = drivers_[index];
    control.WriteBytes(kData, bytes);
    control.WriteBytes(kAnswer, "\x63");
    std::vector<FakeDriver::Buffer> buffers;
    if (!bytes.empty()) buffers.push_back({kData, static_cast<uint32_t>(bytes.size()), false});
    if (room != 0) buffers.push_back({kAnswer, room, true});
    control.Offer(0, buffers);
    device_->OnKick(index);
    EXPECT_EQ(control.TakeUsed().size(), 1u) << "the buffer comes back, whatever it held";
    return control.ReadBytes(kAnswer, 1)[0];
  }
  int SetPairs(int pairs, size_t index = kControlIndex) {
    const char bytes[] = {4, 0, static_cast<char>(pairs), static_cast<char>(pairs >> 8)};
    return Command({bytes, sizeof bytes}, 1, index);
  }
  std::string Active() const {
    std::string text;
    for (const Seen& seen : seen_) text += seen.active ? '1' : '0';
    return text;
  }
  void Send(size_t pair) {
    const size_t index = 2 * pair + NetQueues::kTransmit;
    drivers_[index].WriteBytes(kData, std::string(sizeof(net::Header) + 60, '\0'));
    FakeDriver::Buffer buffer{kData, sizeof(net::Header) + 60, false};
    drivers_[index].Offer(0, std::span(&buffer, 1));
    device_->OnKick(index);
  }

  std::unique_ptr<base::EventLoop> loop_;
  std::array<Seen, kPairs> seen_;
  std::optional<NetDevice> device_;
  std::shared_ptr<const GuestMemory> memory_ = MakeTestMemory(1 << 20);
  std::vector<FakeDriver> drivers_;
  std::deque<FakePort> ports_;  // of each queue
};

TEST_F(NetPairsTest, AreOfferedWithAControlQueue) {
  EXPECT_EQ(device_->QueueSizes().size(), kControlIndex + 1);
  EXPECT_NE(device_->Features() & net::kMultiQueue, 0u);
  EXPECT_NE(device_->Features() & net::kControlQueue, 0u);
  net::Config config{};
  device_->ReadConfig(0, std::as_writable_bytes(std::span(&config, 1)));
  EXPECT_EQ(config.max_queue_pairs, kPairs);
}

TEST_F(NetPairsTest, AreUsedAsTheDriverSays) {
  EXPECT_EQ(Active(), "100") << "a tap would give frames to who does not listen";
  Start();
  EXPECT_EQ(Active(), "100");
  Send(2);
  EXPECT_EQ(seen_[2].sent, 0);
  EXPECT_EQ(SetPairs(3), net::kControlOk);
  EXPECT_EQ(Active(), "111");
  EXPECT_EQ(seen_[2].sent, 1) << "what was kicked for before is looked at";
  Send(1);
  EXPECT_EQ(seen_[1].sent, 1);
  EXPECT_EQ(SetPairs(2), net::kControlOk);
  EXPECT_EQ(Active(), "110");
  EXPECT_EQ(device_->counters().sent_packets, 2u);
  device_->Stop();
  EXPECT_EQ(Active().substr(1), "00");
  for (size_t i = 0; i <= kControlIndex; ++i) device_->OnKick(i);
}

TEST_F(NetPairsTest, CommandsThatMakeNoSenseChangeNothing) {
  Start();
  ASSERT_EQ(SetPairs(2), net::kControlOk);
  for (int pairs : {0, 4, 0x100, 0xffff}) EXPECT_EQ(SetPairs(pairs), net::kControlError) << pairs;
  using namespace std::string_view_literals;
  for (std::string_view bytes :
       {"\4\0\3"sv, "\4"sv, "\4\1\3\0"sv, "\0\0\3\0"sv, "\xff\xff"sv, ""sv})
    EXPECT_EQ(Command(bytes), net::kControlError) << bytes.size();
  EXPECT_EQ(Active(), "110");
  // Without room for an answer there is none.
  EXPECT_EQ(Command("\4\0\4\0"sv, 0), 99);
  EXPECT_EQ(ports_[kControlIndex].broken, "");
  EXPECT_EQ(Active(), "110");
}

TEST_F(NetPairsTest, MoreCommandsThanTheRingHasPlacesAreAnError) {
  Start();
  FakeDriver& control = drivers_[kControlIndex];
  // One buffer, said to be there again and again.
  control.WriteDescriptor(0, kAnswer, 1, 2, 0);
  for (int i = 0; i < 16; ++i) control.SetAvailableSlot(static_cast<uint16_t>(i), 0);
  control.SetAvailableIndex(1000);
  device_->OnKick(kControlIndex);
  EXPECT_NE(ports_[kControlIndex].broken, "");
}

TEST_F(NetPairsTest, ADriverThatNeverStopsAskingGetsARingful) {
  Start();
  device_->Stop();
  // Longer than the device's: commands that are added while they are taken.
  FakePort endless(1024);
  FakeDriver control(memory_, 512, 0xa0000);
  ASSERT_TRUE(endless.queue().Start(memory_, control.Config()).ok());
  std::vector<QueuePort*> ports;
  for (FakePort& port : ports_) ports.push_back(&port);
  ports[kControlIndex] = &endless;
  ASSERT_TRUE(device_->Start(kFeatures, ports).ok());
  const FakeDriver::Buffer answer{kAnswer, 1, true};
  for (uint16_t i = 0; i < 3 * NetDevice::kControlQueueSize; ++i)
    control.Offer(i, std::span(&answer, 1));
  device_->OnKick(kControlIndex);
  EXPECT_EQ(control.TakeUsed().size(), size_t{NetDevice::kControlQueueSize});
}

TEST_F(NetPairsTest, ADriverWithoutMultiQueueHasItsControlQueueBehindTheFirstPair) {
  Start(net::kOffloadFeatures | net::kControlQueue);
  EXPECT_EQ(SetPairs(1, 2), net::kControlOk);
  EXPECT_EQ(SetPairs(2, 2), net::kControlError);
  EXPECT_EQ(Active(), "100");
  device_->Stop();
  for (FakePort& port : ports_) port.queue().Stop();
  Start(net::kOffloadFeatures);
  device_->OnKick(kControlIndex);
  device_->OnKick(2);
}

}  // namespace
}  // namespace holt::vmm
