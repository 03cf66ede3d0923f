// A guest kernel played by the test, on real rings; the disk is a file.
#include "vmm/devices/blk.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <set>

#include "vmm/devices/blk_spare_ring.h"
#include "vmm/devices/blk_spares.h"
#include "vmm/virtio/fake_driver.h"
#include "vmm/virtio/fake_port.h"

namespace holt::vmm {
namespace {

using namespace std::chrono_literals;
using blk::Header;
using blk::Segment;
using blk::Status;

constexpr uint16_t kSize = 64;
constexpr uint64_t kRing = 0x1000;
constexpr uint64_t kHeaderAt = 0x10000, kStatusAt = 0x11000, kDataAt = 0x20000;
constexpr uint64_t kDiskSectors = 64;
constexpr uint8_t kUntouched = 0xee;

class BlkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    loop_ = *base::EventLoop::Create();
    Make(false);
  }
  void TearDown() override { Stop(); }

  void Make(bool read_only, uint32_t vcpus = 1) {
    Stop();
    device_.reset();
    BlkDisk disk;
    ASSERT_NO_FATAL_FAILURE(MakeDisk(read_only, disk));
    auto blk = Blk::Create(*loop_, std::move(disk), vcpus);
    ASSERT_TRUE(blk.ok()) << blk.error().message();
    device_ = std::make_unique<BlkDevice>(std::move(*blk));
  }
  // A place without a disk; ring_ is the monitor's side.
  void MakeSpare() {
    Stop();
    device_.reset();
    ring_ = *SpareRing::Create(blk::kMaxQueueSize);
    std::vector<std::unique_ptr<BlkRing>> rings;
    rings.push_back(*BlkRing::Adopt(base::UniqueFd(dup(ring_.fd())), ring_.parameters()));
    auto blk = Blk::CreateSpare(*loop_, std::move(rings));
    ASSERT_TRUE(blk.ok()) << blk.error().message();
    spare_ = blk->get();
    device_ = std::make_unique<BlkDevice>(std::move(*blk));
  }
  // A new file_ in the place.
  base::Status Plug(const std::string& id, bool read_only = false, uint32_t block_bytes = 512) {
    BlkDisk disk;
    MakeDisk(read_only, disk);
    TRY(ring_.SetFile(disk.fd.get()));
    disk.fd.Reset();
    disk.id = id;
    disk.block_bytes = block_bytes;
    return spare_->Plug(std::move(disk));
  }
  uint64_t Capacity() {
    blk::Config config{};
    device_->ReadConfig(0, std::as_writable_bytes(std::span(&config, 1)));
    return config.capacity;
  }

  void MakeDisk(bool read_only, BlkDisk& disk) {
    std::string path = ::testing::TempDir() + "/disk.XXXXXX";
    file_.Reset(mkostemp(path.data(), O_CLOEXEC));
    ASSERT_TRUE(file_);
    std::string content;
    // Every sector begins with its number, and one byte is below a sector.
    for (uint64_t i = 0; i < kDiskSectors; ++i) content += Sector(static_cast<char>('A' + i % 26));
    content += "x";
    ASSERT_EQ(pwrite(file_.get(), content.data(), content.size(), 0),
              static_cast<ssize_t>(content.size()));
    disk.fd.Reset(open(path.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC));
    ASSERT_EQ(unlink(path.c_str()), 0);
    disk.bytes = content.size();
    disk.read_only = read_only;
    disk.id = "holt-0";
  }
  void Start() {
    driver_.emplace(memory_, kSize, kRing);
    driver_->WriteBytes(kRing, std::string(FakeDriver::RingBytes(kSize), '\0'));
    port_ = std::make_unique<FakePort>(blk::kQueueSize);
    ASSERT_TRUE(port_->queue().Start(memory_, driver_->Config(true)).ok());
    QueuePort* ports[] = {port_.get()};
    ASSERT_TRUE(device_->Start(0, ports).ok());
  }
  void Stop() {
    if (!port_) return;
    device_->Stop();
    port_.reset();
  }
  static std::string Sector(char fill) { return std::string(blk::kSectorBytes, fill); }
  std::string OnDisk(uint64_t sector, uint64_t sectors = 1) {
    std::string bytes(sectors * blk::kSectorBytes, '\0');
    EXPECT_EQ(pread(file_.get(), bytes.data(), bytes.size(),
                    static_cast<off_t>(sector * blk::kSectorBytes)),
              static_cast<ssize_t>(bytes.size()));
    return bytes;
  }

  // Offers header, data and status at descriptors from `first` on, and kicks.
  void Offer(uint16_t first, uint32_t type, uint64_t sector,
             std::vector<FakeDriver::Buffer> data = {}) {
    const Header header{type, 0, sector};
    ASSERT_TRUE(memory_->Write(GuestAddr(kHeaderAt + first * 16), header).ok());
    ASSERT_TRUE(memory_->Write(GuestAddr(kStatusAt + first), kUntouched).ok());
    std::vector<FakeDriver::Buffer> buffers = {{kHeaderAt + first * 16ull, sizeof header, false}};
    buffers.insert(buffers.end(), data.begin(), data.end());
    buffers.push_back({kStatusAt + first, 1, true});
    driver_->Offer(first, buffers);
    device_->OnKick(0);
  }
  // What came back, in time.
  std::vector<FakeDriver::Used> Wait(size_t count) {
    std::vector<FakeDriver::Used> all;
    const auto end = base::EventLoop::Clock::now() + 20s;
    while (all.size() < count && base::EventLoop::Clock::now() < end) {
      for (const auto& used : driver_->TakeUsed()) all.push_back(used);
      if (all.size() < count) loop_->RunOnce(100ms);
    }
    EXPECT_EQ(all.size(), count);
    return all;
  }
  int StatusAt(uint16_t first = 0) { return *memory_->Read<uint8_t>(GuestAddr(kStatusAt + first)); }
  // One request from beginning to end: its status.
  int Ask(uint32_t type, uint64_t sector, std::vector<FakeDriver::Buffer> data = {}) {
    Offer(0, type, sector, std::move(data));
    const auto used = Wait(1);
    length_ = used.empty() ? 0 : used[0].length;
    return StatusAt();
  }
  int AskRange(uint32_t type, const Segment& segment) {
    EXPECT_TRUE(memory_->Write(GuestAddr(kDataAt), segment).ok());
    return Ask(type, 0, {{kDataAt, sizeof segment, false}});
  }

  static constexpr int kOk = static_cast<int>(Status::kOk);
  static constexpr int kIoError = static_cast<int>(Status::kIoError);
  static constexpr int kUnsupported = static_cast<int>(Status::kUnsupported);

  std::unique_ptr<base::EventLoop> loop_;
  base::UniqueFd file_;
  std::unique_ptr<BlkDevice> device_;
  SpareRing ring_;
  Blk* spare_ = nullptr;
  std::shared_ptr<const GuestMemory> memory_ = MakeTestMemory(1 << 20);
  std::optional<FakeDriver> driver_;
  std::unique_ptr<FakePort> port_;
  uint32_t length_ = 0;
};

TEST_F(BlkTest, SaysWhatItIs) {
  blk::Config config{};
  device_->ReadConfig(0, std::as_writable_bytes(std::span(&config, 1)));
  EXPECT_EQ(config.capacity, kDiskSectors) << "what is below a sector is out of reach";
  EXPECT_EQ(config.block_size, 512u);
  EXPECT_EQ(config.num_queues, 1);
  EXPECT_EQ(device_->Features() & blk::kReadOnly, 0u);
  EXPECT_EQ(device_->Features() & blk::kMultiQueue, 0u);
  Make(true, 9);
  EXPECT_EQ(device_->QueueSizes().size(), blk::kMaxQueues);
  EXPECT_NE(device_->Features() & blk::kMultiQueue, 0u);
  EXPECT_NE(device_->Features() & blk::kReadOnly, 0u);
  EXPECT_EQ(device_->Features() & (blk::kDiscard | blk::kWriteZeroes), 0u);
}

TEST_F(BlkTest, ReadsIntoManyBuffers) {
  Start();
  ASSERT_EQ(Ask(blk::kIn, 2, {{kDataAt, 100, true}, {kDataAt + 0x1000, 924, true}}), kOk);
  EXPECT_EQ(driver_->ReadBytes(kDataAt, 100), std::string(100, 'C'));
  EXPECT_EQ(driver_->ReadBytes(kDataAt + 0x1000, 924), std::string(412, 'C') + Sector('D'));
  EXPECT_EQ(length_, 1025u);
  EXPECT_EQ(port_->notified, 1);
}

TEST_F(BlkTest, WritesWhereItShouldOnly) {
  Start();
  driver_->WriteBytes(kDataAt, Sector('x') + Sector('y'));
  ASSERT_EQ(Ask(blk::kOut, 5, {{kDataAt, 1024, false}}), kOk);
  EXPECT_EQ(OnDisk(4, 4), Sector('E') + Sector('x') + Sector('y') + Sector('H'));
  EXPECT_EQ(length_, 1u);
  EXPECT_EQ(Ask(blk::kFlushRequest, 0), kOk);
}

TEST_F(BlkTest, ItsIdIsPadded) {
  Start();
  ASSERT_EQ(Ask(blk::kGetId, 0, {{kDataAt, blk::kIdBytes, true}}), kOk);
  EXPECT_EQ(driver_->ReadBytes(kDataAt, blk::kIdBytes), "holt-0" + std::string(14, '\0'));
  EXPECT_EQ(Ask(blk::kGetId, 0, {{kDataAt, blk::kIdBytes - 1, true}}), kIoError);
}

TEST_F(BlkTest, NothingBeyondTheEnd) {
  Start();
  const struct {
    uint64_t sector;
    uint32_t bytes;
  } bad[] = {{kDiskSectors, 512},
             {kDiskSectors - 1, 1024},
             {kDiskSectors + 1, 0},
             {UINT64_MAX, 512},
             {UINT64_MAX / 512, 512},
             {UINT64_MAX / 512 + 1, 512},
             {0x8000000000000000u, 1024},
             {0, 511},
             {0, 513}};
  driver_->WriteBytes(kDataAt, std::string(2048, '!'));
  const std::string before = OnDisk(0, kDiskSectors);
  for (const auto& [sector, bytes] : bad) {
    EXPECT_EQ(Ask(blk::kOut, sector, {{kDataAt, bytes, false}}), kIoError)
        << sector << " " << bytes;
    EXPECT_EQ(Ask(blk::kIn, sector, {{kDataAt, bytes, true}}), kIoError) << sector << " " << bytes;
  }
  EXPECT_EQ(OnDisk(0, kDiskSectors), before);
  struct stat file {};
  ASSERT_EQ(fstat(file_.get(), &file), 0);
  EXPECT_EQ(file.st_size, static_cast<off_t>(kDiskSectors * 512 + 1)) << "it does not grow";
  EXPECT_EQ(driver_->ReadBytes(kDataAt, 2048), std::string(2048, '!'));
  EXPECT_EQ(Ask(blk::kIn, kDiskSectors - 1, {{kDataAt, 512, true}}), kOk) << "the last one";
}

TEST_F(BlkTest, AReadOnlyDiskIsNotWrittenTo) {
  Make(true);
  Start();
  const std::string before = OnDisk(0, kDiskSectors);
  EXPECT_EQ(Ask(blk::kOut, 0, {{kDataAt, 512, false}}), kIoError);
  EXPECT_EQ(AskRange(blk::kDiscardRequest, {0, 1, 0}), kIoError);
  EXPECT_EQ(AskRange(blk::kWriteZeroesRequest, {0, 1, 0}), kIoError);
  EXPECT_EQ(OnDisk(0, kDiskSectors), before);
  EXPECT_EQ(Ask(blk::kFlushRequest, 0), kOk);
  EXPECT_EQ(Ask(blk::kIn, 0, {{kDataAt, 512, true}}), kOk);
}

TEST_F(BlkTest, RangesAreZeroedAndNothingBeside) {
  Start();
  ASSERT_EQ(AskRange(blk::kWriteZeroesRequest, {1, 2, blk::kUnmap}), kOk);
  EXPECT_EQ(OnDisk(0, 4), Sector('A') + std::string(1024, '\0') + Sector('D'));
  const int zeroed = AskRange(blk::kWriteZeroesRequest, {8, 1, 0});
  // Not every file system can, unlike every block device.
  ASSERT_TRUE(zeroed == kOk || zeroed == kUnsupported);
  EXPECT_EQ(OnDisk(8), zeroed == kOk ? std::string(512, '\0') : Sector('I'));
  ASSERT_EQ(AskRange(blk::kDiscardRequest, {16, 8, 0}), kOk);
  EXPECT_EQ(OnDisk(15), Sector('P'));
  EXPECT_EQ(OnDisk(24), Sector('Y'));
}

TEST_F(BlkTest, OddRangesAreRefused) {
  Start();
  const std::string before = OnDisk(0, kDiskSectors);
  for (const Segment& bad :
       {Segment{kDiskSectors, 1, 0}, Segment{kDiskSectors - 1, 2, 0}, Segment{UINT64_MAX, 1, 0},
        Segment{0, UINT32_MAX, 0}, Segment{0, 0, 0}, Segment{UINT64_MAX / 512 + 1, 1, 0}}) {
    EXPECT_EQ(AskRange(blk::kDiscardRequest, bad), kIoError) << bad.sector;
    EXPECT_EQ(AskRange(blk::kWriteZeroesRequest, bad), kIoError) << bad.sector;
  }
  EXPECT_EQ(AskRange(blk::kDiscardRequest, {0, 1, blk::kUnmap}), kUnsupported);
  EXPECT_EQ(AskRange(blk::kWriteZeroesRequest, {0, 1, 2}), kUnsupported);
  EXPECT_EQ(Ask(blk::kDiscardRequest, 0, {{kDataAt, 15, false}}), kIoError);
  EXPECT_EQ(Ask(blk::kDiscardRequest, 0, {{kDataAt, 32, false}}), kIoError) << "two of them";
  EXPECT_EQ(Ask(blk::kDiscardRequest, 0), kIoError);
  EXPECT_EQ(OnDisk(0, kDiskSectors), before);
}

TEST_F(BlkTest, OddChainsComeBack) {
  Start();
  // A header that is too short.
  ASSERT_TRUE(memory_->Write(GuestAddr(kStatusAt), kUntouched).ok());
  const FakeDriver::Buffer shorter[] = {{kHeaderAt, 15, false}, {kStatusAt, 1, true}};
  driver_->Offer(0, shorter);
  device_->OnKick(0);
  Wait(1);
  EXPECT_EQ(StatusAt(), kIoError);
  // No room for a status.
  const FakeDriver::Buffer deaf[] = {{kHeaderAt, 16, false}, {kDataAt, 512, false}};
  ASSERT_TRUE(memory_->Write(GuestAddr(kHeaderAt), Header{blk::kOut, 0, 0}).ok());
  driver_->Offer(0, deaf);
  device_->OnKick(0);
  const auto used = Wait(1);
  ASSERT_EQ(used.size(), 1u);
  EXPECT_EQ(used[0].length, 0u);
  EXPECT_EQ(OnDisk(0), Sector('A')) << "nothing is done that cannot be answered";
  EXPECT_EQ(Ask(77, 0), kUnsupported);
  EXPECT_EQ(Ask(blk::kIn, 0), kOk) << "nothing is read, and so be it";
  EXPECT_EQ(port_->broken, "");
}

TEST_F(BlkTest, OneByteBuffersMakeOneRequest) {
  Start();
  std::vector<FakeDriver::Buffer> buffers;
  for (uint64_t i = 0; i < sizeof(Header); ++i) buffers.push_back({kHeaderAt + i, 1, false});
  for (uint64_t i = 0; i < 512; ++i) buffers.push_back({kDataAt + 2 * i, 1, true});
  buffers.push_back({kStatusAt, 1, true});
  ASSERT_TRUE(memory_->Write(GuestAddr(kHeaderAt), Header{blk::kIn, 0, 1}).ok());
  driver_->OfferIndirect(0, 0x40000, buffers);
  device_->OnKick(0);
  Wait(1);
  EXPECT_EQ(StatusAt(), kOk);
  for (uint64_t i = 0; i < 512; ++i) ASSERT_EQ(driver_->ReadBytes(kDataAt + 2 * i, 1), "B");
}

TEST_F(BlkTest, ManyAtOnceAreAllAnsweredOnce) {
  Start();
  for (uint16_t i = 0; i < 20; ++i)
    Offer(static_cast<uint16_t>(3 * i), blk::kIn, i, {{kDataAt + i * 512ull, 512, true}});
  const auto used = Wait(20);
  std::set<uint32_t> heads;
  for (const auto& one : used) heads.insert(one.id);
  EXPECT_EQ(heads.size(), 20u);
  for (uint16_t i = 0; i < 20; ++i) {
    EXPECT_EQ(StatusAt(static_cast<uint16_t>(3 * i)), kOk);
    EXPECT_EQ(driver_->ReadBytes(kDataAt + i * 512ull, 512), Sector(static_cast<char>('A' + i)));
  }
  EXPECT_EQ(port_->queue().in_flight(), 0);
}

TEST_F(BlkTest, AQueueThatStopsHasFinishedItsRequests) {
  Start();
  driver_->WriteBytes(kDataAt, Sector('z'));
  for (uint16_t i = 0; i < 20; ++i)
    Offer(static_cast<uint16_t>(3 * i), blk::kOut, i, {{kDataAt, 512, false}});
  device_->Stop();
  EXPECT_EQ(port_->queue().in_flight(), 0) << "its state can be saved";
  EXPECT_EQ(driver_->TakeUsed().size(), 20u);
  for (uint64_t i = 0; i < 20; ++i) ASSERT_EQ(OnDisk(i), Sector('z'));
  Start();
  EXPECT_EQ(Ask(blk::kIn, 0, {{kDataAt, 512, true}}), kOk);
}

TEST_F(BlkTest, ADiskThatShrinksIsAnError) {
  Start();
  ASSERT_EQ(ftruncate(file_.get(), 1000), 0);
  EXPECT_EQ(Ask(blk::kIn, 1, {{kDataAt, 1024, true}}), kIoError) << "and no endless loop";
  EXPECT_EQ(Ask(blk::kIn, 0, {{kDataAt, 512, true}}), kOk);
}

TEST_F(BlkTest, ABrokenRingIsReportedAndTouchedNoMore) {
  Start();
  Offer(0, blk::kIn, 0, {{kDataAt, 512, true}});
  driver_->OfferHead(kSize);
  device_->OnKick(0);
  EXPECT_NE(port_->broken, "");
  device_->OnKick(0);
  Wait(1);
  device_->Stop();
  EXPECT_EQ(port_->queue().in_flight(), 0);
}

TEST_F(BlkTest, APlaceWithoutADiskFailsEveryRequest) {
  MakeSpare();
  Start();
  EXPECT_EQ(Capacity(), 0u);
  EXPECT_EQ(device_->Features() & blk::kReadOnly, 0u) << "a driver asks once only";
  EXPECT_NE(device_->Features() & blk::kDiscard, 0u);
  EXPECT_EQ(Ask(blk::kIn, 0, {{kDataAt, 512, true}}), kIoError);
  EXPECT_EQ(Ask(blk::kOut, 0, {{kDataAt, 512, false}}), kIoError);
  EXPECT_EQ(Ask(blk::kIn, 0), kIoError);
  EXPECT_EQ(Ask(blk::kFlushRequest, 0), kIoError);
  EXPECT_EQ(Ask(blk::kGetId, 0, {{kDataAt, blk::kIdBytes, true}}), kIoError);
  EXPECT_EQ(AskRange(blk::kDiscardRequest, {0, 1, 0}), kIoError);
  EXPECT_EQ(AskRange(blk::kWriteZeroesRequest, {0, 1, 0}), kIoError);
  EXPECT_EQ(Ask(77, 0), kIoError);
  EXPECT_FALSE(spare_->Unplug([] {}).ok());
}

TEST_F(BlkTest, DisksComeAndGo) {
  MakeSpare();
  Start();
  ASSERT_TRUE(Plug("holt-1").ok());
  EXPECT_EQ(spare_->disk_id(), "holt-1");
  EXPECT_EQ(Capacity(), kDiskSectors);
  ASSERT_EQ(Ask(blk::kGetId, 0, {{kDataAt, blk::kIdBytes, true}}), kOk);
  EXPECT_EQ(driver_->ReadBytes(kDataAt, 7), std::string("holt-1\0", 7));
  driver_->WriteBytes(kDataAt, Sector('x'));
  ASSERT_EQ(Ask(blk::kOut, 5, {{kDataAt, 512, false}}), kOk);
  EXPECT_EQ(OnDisk(5), Sector('x'));
  EXPECT_EQ(spare_->Plug({.fd = {}, .bytes = 512, .id = "holt-2"}).error().code(),
            base::Code::kFailedPrecondition);

  bool gone = false;
  ASSERT_TRUE(spare_->Unplug([&] { gone = true; }).ok());
  EXPECT_TRUE(gone) << "nothing was in flight";
  EXPECT_EQ(Capacity(), 0u);
  // The file is still in the ring: the device does not use it.
  EXPECT_EQ(Ask(blk::kIn, 0), kIoError);
  EXPECT_EQ(Ask(blk::kFlushRequest, 0), kIoError);
  EXPECT_EQ(Ask(blk::kOut, 5, {{kDataAt, 512, false}}), kIoError);
  ASSERT_TRUE(ring_.ClearFile().ok());

  ASSERT_TRUE(Plug("holt-2", true).ok());
  EXPECT_EQ(Ask(blk::kIn, 5, {{kDataAt, 512, true}}), kOk);
  EXPECT_EQ(driver_->ReadBytes(kDataAt, 512), Sector('F')) << "another file";
  EXPECT_EQ(Ask(blk::kOut, 5, {{kDataAt, 512, false}}), kIoError) << "though the driver may try";
  EXPECT_EQ(AskRange(blk::kDiscardRequest, {0, 1, 0}), kIoError);
}

TEST_F(BlkTest, WhatIsInFlightEndsBeforeADiskIsGone) {
  MakeSpare();
  Start();
  ASSERT_TRUE(Plug("holt-1").ok());
  driver_->WriteBytes(kDataAt, Sector('z'));
  for (uint16_t i = 0; i < 20; ++i)
    Offer(static_cast<uint16_t>(3 * i), blk::kOut, i, {{kDataAt, 512, false}});
  bool gone = false;
  ASSERT_TRUE(spare_->Unplug([&] { gone = true; }).ok());
  EXPECT_FALSE(gone);
  EXPECT_THAT(spare_->Plug({.fd = {}, .bytes = 512, .id = "holt-2"}).error().message(),
              ::testing::HasSubstr("still has requests"));
  EXPECT_FALSE(spare_->Unplug([] {}).ok()) << "once";
  // A guest that never stops does not keep it.
  const auto end = base::EventLoop::Clock::now() + 20s;
  size_t answered = 0;
  while (!gone && base::EventLoop::Clock::now() < end) {
    Offer(60, blk::kIn, 0, {{kDataAt + 512, 512, true}});
    EXPECT_EQ(StatusAt(60), kIoError);
    answered += driver_->TakeUsed().size();
    loop_->RunOnce(100ms);
  }
  ASSERT_TRUE(gone);
  answered += driver_->TakeUsed().size();
  EXPECT_GE(answered, 21u);
  EXPECT_EQ(port_->queue().in_flight(), 0);
  ASSERT_TRUE(ring_.ClearFile().ok());
  ASSERT_TRUE(Plug("holt-2").ok());
  EXPECT_EQ(Ask(blk::kIn, 0, {{kDataAt, 512, true}}), kOk);
}

TEST_F(BlkTest, ADriverThatGoesEndsWhatWasInFlight) {
  MakeSpare();
  Start();
  ASSERT_TRUE(Plug("holt-1").ok());
  for (uint16_t i = 0; i < 20; ++i)
    Offer(static_cast<uint16_t>(3 * i), blk::kIn, i, {{kDataAt, 512, true}});
  bool gone = false;
  ASSERT_TRUE(spare_->Unplug([&] { gone = true; }).ok());
  Stop();
  EXPECT_TRUE(gone);
  ASSERT_TRUE(ring_.ClearFile().ok());
  ASSERT_TRUE(Plug("holt-2").ok());
  Start();
  EXPECT_EQ(Ask(blk::kIn, 0, {{kDataAt, 512, true}}), kOk);
}

TEST_F(BlkTest, RangesThatDivideABlockAreLeftToTheGuest) {
  MakeSpare();
  Start();
  ASSERT_TRUE(Plug("holt-1", false, 4096).ok());
  const std::string before = OnDisk(0, kDiskSectors);
  EXPECT_EQ(AskRange(blk::kWriteZeroesRequest, {1, 8, blk::kUnmap}), kUnsupported);
  EXPECT_EQ(AskRange(blk::kWriteZeroesRequest, {8, 7, 0}), kUnsupported);
  EXPECT_EQ(AskRange(blk::kDiscardRequest, {1, 8, 0}), kOk) << "a wish";
  EXPECT_EQ(OnDisk(0, kDiskSectors), before);
  EXPECT_EQ(AskRange(blk::kWriteZeroesRequest, {8, 8, blk::kUnmap}), kOk);
  EXPECT_EQ(OnDisk(8, 8), std::string(4096, '\0'));
}

TEST_F(BlkTest, AMachinesPlacesAreKnownByNumberAndDisksByName) {
  MakeSpare();
  BlkSpares spares;
  int changes = 0;
  spares.Add(*spare_, [&](const std::function<void()>& change) {
    ++changes;
    change();
  });
  EXPECT_EQ(spares.Plug(1, {.fd = {}, .bytes = 512, .id = "holt-1"}).error().code(),
            base::Code::kNotFound);
  EXPECT_EQ(spares.Unplug(1, [] {}).error().code(), base::Code::kNotFound);
  ASSERT_TRUE(spares.Plug(0, {.fd = {}, .bytes = 1024, .id = "holt-1"}).ok());
  EXPECT_EQ(Capacity(), 2u);
  EXPECT_EQ(changes, 1) << "the driver was told";
  ASSERT_TRUE(spares.Unplug(0, [] {}).ok());
  EXPECT_EQ(changes, 2);
}

}  // namespace
}  // namespace holt::vmm
