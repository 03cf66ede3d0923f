// virtio-mmio with real devices behind it: console and rng.
#include "vmm/virtio/mmio.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/devices/console.h"
#include "vmm/devices/rng.h"
#include "vmm/virtio/fake_mmio_driver.h"
#include "vmm/virtio/fake_port.h"

namespace holt::vmm {
namespace {

using enum MmioRegister;
constexpr uint64_t kAllFeatures = kFeatureVersion1 | kFeatureIndirectDesc | kFeatureEventIdx;
constexpr uint64_t kBuffer = 0x8000;

class MmioTest : public ::testing::Test {
 protected:
  void SetUp() override {
    loop_ = *base::EventLoop::Create();
    memory_ = MakeTestMemory(1 << 20);
    rings_.emplace(memory_, uint16_t{8}, 0x1000);
    Use(std::make_unique<ConsoleDevice>(*loop_, log_));
  }
  void Use(std::unique_ptr<VirtioDevice> device) {
    MmioTransport::Options options;
    options.loop = loop_.get();
    options.memory = memory_;
    options.device = std::move(device);
    options.run_in_loop = [](const std::function<void()>& call) { call(); };
    transport_ = *MmioTransport::Create(std::move(options));
    driver_.emplace(*transport_);
  }
  uint32_t Status() { return driver_->Read(kStatus); }
  bool Interrupted() {
    uint64_t count = 0;
    return read(transport_->interrupt_fd(), &count, sizeof count) == sizeof count;
  }
  // The console with its transmit queue, running.
  void StartConsole(uint64_t features = kFeatureVersion1) {
    ASSERT_TRUE(driver_->Negotiate(features));
    driver_->SetQueue(ConsoleDevice::kTransmitQueue, rings_->Config());
    driver_->DriverOk();
    ASSERT_EQ(Status() & kStatusNeedsReset, 0u);
  }
  void Print(std::string_view text) {
    rings_->WriteBytes(kBuffer, text);
    const FakeDriver::Buffer buffer{kBuffer, static_cast<uint32_t>(text.size()), false};
    rings_->Offer(0, std::span(&buffer, 1));
    driver_->Write(kQueueNotify, ConsoleDevice::kTransmitQueue);
    loop_->RunOnce(std::chrono::seconds(0));
  }

  std::unique_ptr<base::EventLoop> loop_;
  std::shared_ptr<const GuestMemory> memory_;
  ConsoleLog log_{base::UniqueFd()};
  std::optional<FakeDriver> rings_;
  std::unique_ptr<MmioTransport> transport_;
  std::optional<FakeMmioDriver> driver_;
};

TEST_F(MmioTest, SaysWhatItIs) {
  EXPECT_EQ(driver_->Read(kMagic), 0x74726976u);
  EXPECT_EQ(driver_->Read(kVersion), 2u);
  EXPECT_EQ(driver_->Read(kDeviceId), kTypeConsole);
  EXPECT_EQ(driver_->DeviceFeatures(), kAllFeatures);
  EXPECT_EQ(driver_->Read(kSharedMemoryLengthLow), UINT32_MAX);
}

TEST_F(MmioTest, ConsoleWritesAndInterrupts) {
  StartConsole();
  Print("hello\n");
  EXPECT_EQ(log_.Tail(), "hello\n");
  EXPECT_TRUE(Interrupted());
  EXPECT_EQ(driver_->Read(kInterruptStatus), kInterruptUsedBuffer);
  driver_->Write(kInterruptAck, kInterruptUsedBuffer);
  EXPECT_EQ(driver_->Read(kInterruptStatus), 0u);
  EXPECT_EQ(rings_->TakeUsed().size(), 1u);
}

TEST_F(MmioTest, BuffersOfferedBeforeDriverOkAreServed) {
  rings_->WriteBytes(kBuffer, "early\n");
  const FakeDriver::Buffer buffer{kBuffer, 6, false};
  rings_->Offer(0, std::span(&buffer, 1));
  StartConsole();
  EXPECT_EQ(log_.Tail(), "early\n");
}

TEST_F(MmioTest, RngFillsABoundedPortion) {
  Use(std::make_unique<RngDevice>(*loop_));
  ASSERT_TRUE(driver_->Negotiate(kFeatureVersion1));
  driver_->SetQueue(0, rings_->Config());
  driver_->DriverOk();
  const FakeDriver::Buffer buffer{kBuffer, 64 << 10, true};
  rings_->Offer(0, std::span(&buffer, 1));
  driver_->Write(kQueueNotify, 0);
  loop_->RunOnce(std::chrono::seconds(0));
  auto used = rings_->TakeUsed();
  ASSERT_EQ(used.size(), 1u);
  EXPECT_EQ(used[0].length, RngDevice::kMaxRequestBytes);
  EXPECT_NE(rings_->ReadBytes(kBuffer, 64), std::string(64, '\0'));
  EXPECT_EQ(rings_->ReadBytes(kBuffer + RngDevice::kMaxRequestBytes, 64), std::string(64, '\0'));
}

TEST_F(MmioTest, FeaturesNotOfferedOrTooOldAreNotAgreedTo) {
  EXPECT_FALSE(driver_->Negotiate(kAllFeatures | 1));
  EXPECT_FALSE(driver_->Negotiate(kFeatureEventIdx));  // a legacy driver
  EXPECT_TRUE(driver_->Negotiate(kAllFeatures));
}

TEST_F(MmioTest, FeaturesAreFrozenFromFeaturesOk) {
  ASSERT_TRUE(driver_->Negotiate(kFeatureVersion1));
  driver_->WriteFeatures(kAllFeatures | 1);
  EXPECT_EQ(transport_->Save().driver_features, kFeatureVersion1);
  // And not taken before DRIVER.
  driver_->Write(MmioRegister::kStatus, 0);
  driver_->WriteFeatures(kAllFeatures);
  EXPECT_EQ(transport_->Save().driver_features, 0u);
}

TEST_F(MmioTest, StatusBitsAreNotTakenBack) {
  ASSERT_TRUE(driver_->Negotiate(kFeatureVersion1));
  const uint32_t before = Status();
  driver_->Write(kStatus, kStatusAcknowledge);
  EXPECT_EQ(Status(), before);
  driver_->Write(kStatus, before | kStatusNeedsReset);  // ours to say
  EXPECT_EQ(Status(), before);
}

TEST_F(MmioTest, DriverOkWithoutFeaturesOkDoesNothing) {
  driver_->Write(kStatus, kStatusAcknowledge | kStatusDriver);
  driver_->Write(kStatus, kStatusAcknowledge | kStatusDriver | kStatusDriverOk);
  EXPECT_EQ(Status(), kStatusAcknowledge | kStatusDriver);
}

TEST_F(MmioTest, QueueRegistersAreFrozenFromDriverOk) {
  StartConsole();
  const MmioState before = transport_->Save();
  // CVE-2026-5747: addresses that change under a running queue.
  for (uint32_t queue = 0; queue < 2; ++queue) {
    driver_->Write(kQueueSelect, queue);
    driver_->Write(kQueueReady, 0);
    driver_->SetQueue(queue, {.size = 4, .descriptors = GuestAddr(0xfff0000000)});
  }
  const MmioState after = transport_->Save();
  EXPECT_EQ(after.queues[1].ready, true);
  EXPECT_EQ(after.queues[1].size, before.queues[1].size);
  EXPECT_EQ(after.queues[1].descriptors, before.queues[1].descriptors);
  EXPECT_EQ(after.queues[0].ready, false);
  Print("still here\n");
  EXPECT_EQ(log_.Tail(), "still here\n");
}

TEST_F(MmioTest, AReadyQueueIsFrozenUntilItIsNot) {
  ASSERT_TRUE(driver_->Negotiate(kFeatureVersion1));
  driver_->SetQueue(1, rings_->Config());
  driver_->Write(kQueueDescriptorsLow, 0x77770);
  EXPECT_EQ(transport_->Save().queues[1].descriptors, 0x1000u);
  driver_->Write(kQueueReady, 0);
  EXPECT_EQ(driver_->Read(kQueueReady), 0u);
  driver_->Write(kQueueDescriptorsLow, 0x77770);
  EXPECT_EQ(transport_->Save().queues[1].descriptors, 0x77770u);
}

TEST_F(MmioTest, QueuesThatDoNotExistHaveNoRegisters) {
  ASSERT_TRUE(driver_->Negotiate(kFeatureVersion1));
  for (uint32_t queue : {2u, 3u, 65535u, 0x80000000u, UINT32_MAX}) {
    driver_->Write(kQueueSelect, queue);
    EXPECT_EQ(driver_->Read(kQueueSizeMax), 0u);
    driver_->SetQueue(queue, rings_->Config());
    EXPECT_EQ(driver_->Read(kQueueReady), 0u);
    driver_->Write(kQueueNotify, queue);
  }
  driver_->Write(kQueueSelect, 1);
  EXPECT_EQ(driver_->Read(kQueueSizeMax), 64u);
}

TEST_F(MmioTest, ImpossibleQueueSizesAreNotReady) {
  ASSERT_TRUE(driver_->Negotiate(kFeatureVersion1));
  for (uint32_t size : {0u, 3u, 128u, 65536u, 65537u, UINT32_MAX}) {
    driver_->Write(kQueueSelect, 1);
    driver_->Write(kQueueSize, size);
    driver_->Write(kQueueReady, 1);
    EXPECT_EQ(driver_->Read(kQueueReady), 0u) << size;
  }
}

TEST_F(MmioTest, AQueueOutsideOfMemoryNeedsAReset) {
  ASSERT_TRUE(driver_->Negotiate(kFeatureVersion1));
  QueueConfig config = rings_->Config();
  config.used = GuestAddr((1 << 20) - 4);
  driver_->SetQueue(1, config);
  driver_->DriverOk();
  EXPECT_NE(Status() & kStatusNeedsReset, 0u);
  EXPECT_TRUE(Interrupted());
  EXPECT_EQ(driver_->Read(kInterruptStatus), kInterruptConfigChange);
  driver_->Write(kQueueNotify, 1);
  loop_->RunOnce(std::chrono::seconds(0));
  // A reset mends it.
  StartConsole();
  Print("well again\n");
  EXPECT_EQ(log_.Tail(), "well again\n");
}

TEST_F(MmioTest, ABrokenQueueNeedsAResetAndIsServedNoMore) {
  StartConsole();
  rings_->OfferHead(99);
  driver_->Write(kQueueNotify, 1);
  loop_->RunOnce(std::chrono::seconds(0));
  EXPECT_NE(Status() & kStatusNeedsReset, 0u);
  driver_->Write(kQueueNotify, 1);
  loop_->RunOnce(std::chrono::seconds(0));
  driver_->Write(kStatus, 0);
  EXPECT_EQ(Status(), 0u);
}

TEST_F(MmioTest, ResetForgetsEverything) {
  StartConsole();
  driver_->Write(kQueueNotify, 1);  // a kick that comes too late
  driver_->Write(kStatus, 0);
  loop_->RunOnce(std::chrono::seconds(0));
  const MmioState state = transport_->Save();
  EXPECT_EQ(state.status, 0u);
  EXPECT_EQ(state.driver_features, 0u);
  EXPECT_FALSE(state.queues[1].ready);
  EXPECT_EQ(driver_->Read(kInterruptStatus), 0u);
}

TEST_F(MmioTest, AConfigurationThatChangesIsToldWhenTheDriverRuns) {
  const uint32_t before = driver_->Read(kConfigGeneration);
  uint32_t between = before;
  transport_->ChangeConfig([&] { between = driver_->Read(kConfigGeneration); });
  const uint32_t after = driver_->Read(kConfigGeneration);
  EXPECT_NE(between, before) << "what was read in halves is read again";
  EXPECT_NE(between, after);
  EXPECT_FALSE(Interrupted()) << "there is no driver";
  StartConsole();
  EXPECT_TRUE(Interrupted()) << "it may have read before that";
  EXPECT_EQ(driver_->Read(kInterruptStatus), kInterruptConfigChange);
  driver_->Write(kInterruptAck, kInterruptConfigChange);
  transport_->ChangeConfig([] {});
  EXPECT_TRUE(Interrupted());
  EXPECT_EQ(driver_->Read(kInterruptStatus), kInterruptConfigChange);
}

TEST_F(MmioTest, OddAccessesGiveZeroAndChangeNothing) {
  for (uint64_t offset : {0ull, 1ull, 2ull, 0x70ull, 0x71ull, 0xfeull})
    for (size_t bytes : {1u, 2u, 8u}) {
      std::array<std::byte, 8> value;
      value.fill(std::byte{0xff});
      transport_->Write(offset, std::span<const std::byte>(value).first(bytes));
      transport_->Read(offset, std::span(value).first(bytes));
      EXPECT_EQ(value[0], std::byte{0}) << offset << " " << bytes;
    }
  EXPECT_EQ(Status(), 0u);
  uint64_t beyond = 1;
  transport_->Read(kMmioBytes - 8, std::as_writable_bytes(std::span(&beyond, 1)));
  EXPECT_EQ(beyond, 0u);
}

TEST_F(MmioTest, AnEndlessPrinterLeavesTheLoopToOthers) {
  FakeDriver rings(memory_, 512, 0x10000);
  // Longer than any that a device offers: one turn of the loop must not take them all.
  FakePort port(1024);
  ASSERT_TRUE(port.queue().Start(memory_, rings.Config()).ok());
  ConsoleDevice console(*loop_, log_);
  QueuePort* const ports[] = {nullptr, &port};
  ASSERT_TRUE(console.Start(0, ports).ok());
  const FakeDriver::Buffer buffer{kBuffer, 1, false};
  for (uint16_t i = 0; i < 150; ++i) rings.Offer(i, std::span(&buffer, 1));
  console.OnKick(ConsoleDevice::kTransmitQueue);
  EXPECT_EQ(rings.TakeUsed().size(), size_t{ConsoleDevice::kBudget});
  loop_->RunOnce(std::chrono::seconds(0));
  EXPECT_EQ(rings.TakeUsed().size(), size_t{ConsoleDevice::kBudget});
  loop_->RunOnce(std::chrono::seconds(0));
  EXPECT_EQ(rings.TakeUsed().size(), 150u - 2 * ConsoleDevice::kBudget);
}

TEST_F(MmioTest, AGuestThatWantsRandomBytesForEverLeavesTheLoopToOthers) {
  FakeDriver rings(memory_, 512, 0x10000);
  // Longer than any that a device offers: one turn of the loop must not take them all.
  FakePort port(1024);
  ASSERT_TRUE(port.queue().Start(memory_, rings.Config()).ok());
  RngDevice rng(*loop_);
  QueuePort* const ports[] = {&port};
  ASSERT_TRUE(rng.Start(0, ports).ok());
  const FakeDriver::Buffer buffer{kBuffer, 16, true};
  for (uint16_t i = 0; i < 100; ++i) rings.Offer(i, std::span(&buffer, 1));
  rng.OnKick(0);
  EXPECT_EQ(rings.TakeUsed().size(), size_t{RngDevice::kBudget});
  loop_->RunOnce(std::chrono::seconds(0));
  EXPECT_EQ(rings.TakeUsed().size(), 100u - RngDevice::kBudget);
}

TEST_F(MmioTest, OfAnEnormousConsoleBufferTheBeginningIsTaken) {
  base::UniqueFd file(memfd_create("console", MFD_CLOEXEC));
  ConsoleLog log{base::UniqueFd(dup(file.get()))};
  Use(std::make_unique<ConsoleDevice>(*loop_, log));
  StartConsole();
  const FakeDriver::Buffer buffer{0x10000, 4 * ConsoleDevice::kMaxBufferBytes, false};
  rings_->Offer(0, std::span(&buffer, 1));
  driver_->Write(kQueueNotify, ConsoleDevice::kTransmitQueue);
  loop_->RunOnce(std::chrono::seconds(0));
  EXPECT_EQ(lseek(file.get(), 0, SEEK_END), off_t{ConsoleDevice::kMaxBufferBytes});
  EXPECT_EQ(rings_->TakeUsed().size(), 1u);
  transport_.reset();  // before its log
}

TEST(BusTest, RangesDoNotOverlapAndAccessesDoNotLeaveThem) {
  struct Device : BusDevice {
    void Read(uint64_t offset, std::span<std::byte> out) override {
      last = offset;
      std::ranges::fill(out, std::byte{1});
    }
    void Write(uint64_t offset, std::span<const std::byte>) override { last = offset; }
    uint64_t last = 99;
  } device;
  Bus bus;
  ASSERT_TRUE(bus.Add(0x100, 0x10, &device).ok());
  EXPECT_FALSE(bus.Add(0x10f, 1, &device).ok());
  EXPECT_FALSE(bus.Add(0xf0, 0x11, &device).ok());
  EXPECT_FALSE(bus.Add(0x200, 0, &device).ok());
  EXPECT_FALSE(bus.Add(UINT64_MAX, 2, &device).ok());
  EXPECT_TRUE(bus.Add(0x110, 1, &device).ok());
  auto read = [&](uint64_t address) {
    uint32_t value = 0;
    bus.Read(address, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  };
  EXPECT_EQ(read(0x10c), 0x01010101u);
  EXPECT_EQ(device.last, 0xcu);
  EXPECT_EQ(read(0x10d), UINT32_MAX);  // leaves the device
  EXPECT_EQ(read(0xff), UINT32_MAX);
  EXPECT_EQ(read(UINT64_MAX - 1), UINT32_MAX);
}

}  // namespace
}  // namespace holt::vmm
