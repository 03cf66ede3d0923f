#include "vmm/virtio/queue.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>

#include "vmm/virtio/fake_driver.h"

namespace holt::vmm {
namespace {

constexpr uint16_t kSize = 8;
constexpr uint64_t kData = 0x10000;
constexpr uint16_t kNext = 1, kWrite = 2, kIndirect = 4;

class QueueTest : public ::testing::Test {
 protected:
  void Start(bool indirect = true, bool event_idx = false) {
    auto status = queue_.Start(memory_, driver_.Config(indirect, event_idx));
    ASSERT_TRUE(status.ok()) << status.error().message();
  }
  std::string PopError() {
    auto popped = queue_.Pop(chain_);
    return popped ? (*popped ? "(a chain)" : "(none)") : popped.error().message();
  }

  std::shared_ptr<const GuestMemory> memory_ = MakeTestMemory(0x40000);
  FakeDriver driver_{memory_, kSize, 0x1000};
  Queue queue_{256};
  DescriptorChain chain_;
};

TEST_F(QueueTest, ChainComesAndGoes) {
  Start();
  EXPECT_FALSE(*queue_.Pop(chain_));
  driver_.WriteBytes(kData, "hello, ");
  driver_.WriteBytes(kData + 0x100, "otter");
  FakeDriver::Buffer buffers[] = {
      {kData, 7, false}, {kData + 0x100, 5, false}, {kData + 0x200, 16, true}};
  driver_.Offer(2, buffers);
  ASSERT_TRUE(*queue_.Pop(chain_));
  EXPECT_EQ(chain_.head, 2);
  EXPECT_EQ(chain_.readable_bytes, 12u);
  EXPECT_EQ(chain_.writable_bytes, 16u);

  ChainReader reader(chain_);
  std::string text(12, '\0');
  ASSERT_TRUE(reader.Read(std::as_writable_bytes(std::span(text.data(), text.size()))));
  EXPECT_EQ(text, "hello, otter");
  uint8_t more;
  EXPECT_FALSE(reader.Read(more));

  ChainWriter writer(chain_);
  EXPECT_TRUE(writer.Write<uint32_t>(0x64636261));
  EXPECT_EQ(queue_.in_flight(), 1);
  queue_.Push(chain_, writer.written());
  EXPECT_EQ(queue_.in_flight(), 0);
  auto used = driver_.TakeUsed();
  ASSERT_EQ(used.size(), 1u);
  EXPECT_EQ(used[0].id, 2u);
  EXPECT_EQ(used[0].length, 4u);
  EXPECT_EQ(driver_.ReadBytes(kData + 0x200, 4), "abcd");
}

TEST_F(QueueTest, IndirectTableIsFollowed) {
  Start();
  FakeDriver::Buffer buffers[] = {{kData, 3, false}, {kData + 8, 4, true}, {kData + 16, 5, true}};
  driver_.OfferIndirect(5, 0x8000, buffers);
  ASSERT_TRUE(*queue_.Pop(chain_));
  EXPECT_EQ(chain_.head, 5);
  EXPECT_EQ(chain_.readable.size(), 1u);
  EXPECT_EQ(chain_.writable.size(), 2u);
  EXPECT_EQ(chain_.writable_bytes, 9u);
}

TEST_F(QueueTest, IndexWrapsRoundTheRingAndTheSixteenBits) {
  QueueConfig config = driver_.Config();
  config.next_available = 0xfffe;
  config.next_used = 0xfffe;
  driver_.SetAvailableIndex(0xfffe);
  ASSERT_TRUE(queue_.Start(memory_, config).ok());
  for (int i = 0; i < 5; ++i) {
    FakeDriver::Buffer buffer{kData, 1, false};
    driver_.Offer(static_cast<uint16_t>(i), std::span(&buffer, 1));
    ASSERT_TRUE(*queue_.Pop(chain_)) << i;
    EXPECT_EQ(chain_.head, i);
    queue_.Push(chain_, 0);
  }
  EXPECT_EQ(driver_.UsedIndex(), 3);
}

TEST_F(QueueTest, ConfigurationIsValidated) {
  QueueConfig good = driver_.Config();
  auto refused = [&](auto change) {
    QueueConfig config = good;
    change(config);
    return !queue_.Start(memory_, config).ok();
  };
  EXPECT_TRUE(refused([](QueueConfig& c) { c.size = 0; }));
  EXPECT_TRUE(refused([](QueueConfig& c) { c.size = 7; }));
  EXPECT_TRUE(refused([](QueueConfig& c) { c.size = 512; }));
  EXPECT_TRUE(refused([](QueueConfig& c) { c.descriptors = GuestAddr(0x1008); }));
  EXPECT_TRUE(refused([](QueueConfig& c) { c.available = GuestAddr(0x1001); }));
  EXPECT_TRUE(refused([](QueueConfig& c) { c.used = GuestAddr(0x1002); }));
  EXPECT_TRUE(
      refused([](QueueConfig& c) { c.descriptors = GuestAddr(0x40000 - 16 * kSize + 16); }));
  EXPECT_TRUE(refused([](QueueConfig& c) { c.used = GuestAddr(~0ull - 3); }));
  EXPECT_TRUE(refused([](QueueConfig& c) { c.available = GuestAddr(0x40000 - 2); }));
  EXPECT_FALSE(queue_.running());
  EXPECT_TRUE(queue_.Start(memory_, good).ok());
}

// --- a hostile driver ---

TEST_F(QueueTest, AvailableIndexTooFarAhead) {
  Start();
  driver_.SetAvailableIndex(kSize + 1);
  EXPECT_EQ(PopError(), "available index 9 is 9 ahead in a queue of 8");
  EXPECT_TRUE(queue_.broken());
  driver_.SetAvailableIndex(0);
  EXPECT_EQ(PopError(), "the queue is broken") << "only a reset mends it";
}

TEST_F(QueueTest, HeadOutsideTheTable) {
  Start();
  driver_.OfferHead(kSize);
  EXPECT_EQ(PopError(), "head 8 in a queue of 8");
}

TEST_F(QueueTest, SameHeadTwiceInFlight) {
  Start();
  FakeDriver::Buffer buffer{kData, 1, true};
  driver_.Offer(3, std::span(&buffer, 1));
  ASSERT_TRUE(*queue_.Pop(chain_));
  driver_.OfferHead(3);
  DescriptorChain second;
  auto popped = queue_.Pop(second);
  ASSERT_FALSE(popped.ok());
  EXPECT_EQ(popped.error().message(), "head 3 is in flight already");
}

TEST_F(QueueTest, SameHeadAgainAfterItWasReturned) {
  Start();
  FakeDriver::Buffer buffer{kData, 1, true};
  driver_.Offer(3, std::span(&buffer, 1));
  ASSERT_TRUE(*queue_.Pop(chain_));
  queue_.Push(chain_, 1);
  driver_.OfferHead(3);
  EXPECT_TRUE(*queue_.Pop(chain_));
}

TEST_F(QueueTest, PushOfWhatIsNotInFlightAborts) {
  Start();
  EXPECT_DEATH(queue_.Push(1, 0), "");
  EXPECT_DEATH(queue_.Push(kSize, 0), "");
}

TEST_F(QueueTest, LoopInTheTable) {
  Start();
  driver_.WriteDescriptor(0, kData, 1, kNext, 1);
  driver_.WriteDescriptor(1, kData, 1, kNext, 0);
  driver_.OfferHead(0);
  EXPECT_EQ(PopError(), "descriptor chain at 0 loops");
}

TEST_F(QueueTest, LoopInAnIndirectTable) {
  Start();
  driver_.WriteBytes(0x8000, std::string_view("\0\0\1\0\0\0\0\0\1\0\0\0\1\0\0\0", 16));
  driver_.WriteDescriptor(0, 0x8000, 16, kIndirect, 0);
  driver_.OfferHead(0);
  EXPECT_EQ(PopError(), "indirect descriptor chain loops");
}

TEST_F(QueueTest, NextOutsideTheTables) {
  Start();
  driver_.WriteDescriptor(0, kData, 1, kNext, kSize);
  driver_.OfferHead(0);
  EXPECT_EQ(PopError(), "descriptor 8 in a queue of 8");
  queue_.Stop();
  FakeDriver fresh(memory_, kSize, 0x20000);
  ASSERT_TRUE(queue_.Start(memory_, fresh.Config(true)).ok());
  // An entry whose flags say NEXT and whose next is 2, in a table of one... of two entries.
  fresh.WriteBytes(0x8000, std::string_view("\0\0\1\0\0\0\0\0\1\0\0\0\1\0\2\0", 16));
  fresh.WriteDescriptor(0, 0x8000, 32, kIndirect, 0);
  fresh.OfferHead(0);
  EXPECT_EQ(PopError(), "descriptor 2 in an indirect table of 2");
}

TEST_F(QueueTest, IndirectTablesThatAreWrong) {
  struct {
    uint32_t length;
    uint16_t flags;
    uint64_t address;
    const char* message;
  } cases[] = {
      {0, kIndirect, 0x8000, "indirect table of 0 bytes"},
      {17, kIndirect, 0x8000, "indirect table of 17 bytes"},
      {16, kIndirect | kNext, 0x8000, "indirect descriptor with flags 0x5"},
      {16, kIndirect | kWrite, 0x8000, "indirect descriptor with flags 0x6"},
      {16 * 1025, kIndirect, 0x8000, "indirect table of 1025 descriptors, at most 1024 are taken"},
      {32, kIndirect, 0x40000 - 16,
       "indirect table: guest buffer of 0x20 bytes at 0x3fff0 leaves its memory region"},
  };
  for (const auto& c : cases) {
    FakeDriver fresh(memory_, kSize, 0x20000);
    fresh.SetAvailableIndex(0);
    queue_.Stop();
    ASSERT_TRUE(queue_.Start(memory_, fresh.Config(true)).ok());
    fresh.WriteDescriptor(0, c.address, c.length, c.flags, 0);
    fresh.OfferHead(0);
    EXPECT_EQ(PopError(), c.message);
  }
}

TEST_F(QueueTest, IndirectInsideIndirect) {
  Start();
  driver_.WriteBytes(0x8000, std::string_view("\0\0\1\0\0\0\0\0\x10\0\0\0\4\0\0\0", 16));
  driver_.WriteDescriptor(0, 0x8000, 16, kIndirect, 0);
  driver_.OfferHead(0);
  EXPECT_EQ(PopError(), "indirect descriptor in an indirect table");
}

TEST_F(QueueTest, IndirectThatWasNotNegotiated) {
  Start(/*indirect=*/false);
  driver_.WriteDescriptor(0, 0x8000, 16, kIndirect, 0);
  driver_.OfferHead(0);
  EXPECT_EQ(PopError(), "indirect descriptor without INDIRECT_DESC");
}

TEST_F(QueueTest, ReadableAfterWritable) {
  Start();
  FakeDriver::Buffer buffers[] = {{kData, 4, true}, {kData, 4, false}};
  driver_.Offer(0, buffers);
  EXPECT_EQ(PopError(), "readable descriptor after a writable one");
}

TEST_F(QueueTest, BuffersOutsideMemory) {
  Start();
  FakeDriver::Buffer past{0x40000 - 4, 8, true};
  driver_.Offer(0, std::span(&past, 1));
  EXPECT_EQ(PopError(), "guest buffer at 0x3fffc leaves memory at 0x40000");
  queue_.Stop();
  FakeDriver fresh(memory_, kSize, 0x20000);
  ASSERT_TRUE(queue_.Start(memory_, fresh.Config()).ok());
  FakeDriver::Buffer wraps{~0ull - 3, 8, true};
  fresh.Offer(0, std::span(&wraps, 1));
  EXPECT_EQ(PopError(), "guest buffer at 0xfffffffffffffffc leaves memory at 0xfffffffffffffffc");
}

TEST_F(QueueTest, LengthsThatSumPastFourGiB) {
  // A gibibyte of sparse memory named five times.
  auto big = MakeTestMemory(1ull << 30);
  FakeDriver driver(big, kSize, 0x1000);
  ASSERT_TRUE(queue_.Start(big, driver.Config()).ok());
  std::vector<FakeDriver::Buffer> buffers(5, {0, 1u << 30, true});
  driver.Offer(0, buffers);
  EXPECT_EQ(PopError(), "descriptor chain of 4 GiB and more");
}

TEST_F(QueueTest, BufferOverTwoRegionsIsCutAtTheBorder) {
  auto first = *CreateMemoryFile("a", 0x20000);
  auto second = *CreateMemoryFile("b", 0x20000);
  GuestMemory::RegionSpec specs[] = {{GuestAddr(0), 0x20000, first.get(), 0},
                                     {GuestAddr(0x20000), 0x20000, second.get(), 0}};
  auto memory = *GuestMemory::Map(specs);
  FakeDriver driver(memory, kSize, 0x1000);
  ASSERT_TRUE(queue_.Start(memory, driver.Config()).ok());
  FakeDriver::Buffer buffer{0x20000 - 4, 8, true};
  driver.Offer(0, std::span(&buffer, 1));
  ASSERT_TRUE(*queue_.Pop(chain_));
  ASSERT_EQ(chain_.writable.size(), 2u);
  ChainWriter writer(chain_);
  ASSERT_TRUE(writer.Write<uint64_t>(0x8877665544332211));
  EXPECT_EQ(*memory->Read<uint32_t>(GuestAddr(0x20000 - 4)), 0x44332211u);
  EXPECT_EQ(*memory->Read<uint32_t>(GuestAddr(0x20000)), 0x88776655u);
}

TEST_F(QueueTest, ChangesAfterPopDoNotReachTheChain) {
  Start();
  FakeDriver::Buffer buffer{kData, 4, true};
  driver_.Offer(0, std::span(&buffer, 1));
  ASSERT_TRUE(*queue_.Pop(chain_));
  driver_.WriteDescriptor(0, 0, 0xffffffff, kWrite, 0);
  EXPECT_EQ(chain_.writable_bytes, 4u);
  EXPECT_EQ(chain_.writable[0].size(), 4u);
}

// Another processor of the guest's, here another process, rewrites the descriptor all the while:
// what was counted and what was cut into slices must come of one reading.
TEST_F(QueueTest, ADescriptorThatChangesMeanwhileIsReadOnce) {
  Start();
  constexpr uint32_t kLong = 0x1000;
  const pid_t guest = fork();
  if (guest == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // where a failure leaves it
    while (true) {
      driver_.WriteDescriptor(0, kData, 4, kWrite, 0);
      driver_.WriteDescriptor(0, kData, kLong, kWrite, 0);
    }
  }
  ASSERT_GT(guest, 0);
  driver_.WriteDescriptor(0, kData, 4, kWrite, 0);
  size_t shorter = 0, longer = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (shorter < 50'000 || longer < 50'000) {
    if (std::chrono::steady_clock::now() > end) break;
    driver_.OfferHead(0);
    auto popped = queue_.Pop(chain_);
    ASSERT_TRUE(popped.ok() && *popped);
    size_t bytes = 0;
    for (const GuestSlice& slice : chain_.writable) bytes += slice.size();
    ASSERT_EQ(bytes, chain_.writable_bytes);
    ++(bytes == kLong ? longer : shorter);
    queue_.Push(chain_, 0);
  }
  EXPECT_EQ(kill(guest, SIGKILL), 0);
  EXPECT_EQ(waitpid(guest, nullptr, 0), guest);
  EXPECT_GT(shorter, 0u);
  EXPECT_GT(longer, 0u);
}

TEST_F(QueueTest, ChainOutlivesTheQueuesMemory) {
  Start();
  FakeDriver::Buffer buffer{kData, 4, true};
  driver_.Offer(0, std::span(&buffer, 1));
  ASSERT_TRUE(*queue_.Pop(chain_));
  std::weak_ptr<const GuestMemory> weak = memory_;
  queue_.Stop();
  driver_ = FakeDriver(MakeTestMemory(0x10000), kSize, 0x1000);
  memory_.reset();
  EXPECT_FALSE(weak.expired());
  ChainWriter writer(chain_);
  EXPECT_TRUE(writer.Write<uint32_t>(1));
  chain_.Clear();
  EXPECT_TRUE(weak.expired());
}

// --- notifications ---

TEST_F(QueueTest, InterruptsAreSuppressedByTheFlag) {
  Start();
  FakeDriver::Buffer buffer{kData, 1, true};
  EXPECT_FALSE(queue_.NeedsNotify()) << "nothing was pushed";
  driver_.Offer(0, std::span(&buffer, 1));
  ASSERT_TRUE(*queue_.Pop(chain_));
  queue_.Push(chain_, 1);
  EXPECT_TRUE(queue_.NeedsNotify());
  EXPECT_FALSE(queue_.NeedsNotify());
  driver_.SetAvailableFlags(1);
  driver_.Offer(0, std::span(&buffer, 1));
  ASSERT_TRUE(*queue_.Pop(chain_));
  queue_.Push(chain_, 1);
  EXPECT_FALSE(queue_.NeedsNotify());
}

TEST_F(QueueTest, InterruptsFollowUsedEvent) {
  Start(true, /*event_idx=*/true);
  FakeDriver::Buffer buffer{kData, 1, true};
  auto one = [&] {
    driver_.Offer(0, std::span(&buffer, 1));
    EXPECT_TRUE(*queue_.Pop(chain_));
    queue_.Push(chain_, 1);
    return queue_.NeedsNotify();
  };
  EXPECT_TRUE(one()) << "the first is always told";
  driver_.SetUsedEvent(3);  // wants to hear of the fourth
  EXPECT_FALSE(one());
  EXPECT_FALSE(one());
  EXPECT_TRUE(one());
  EXPECT_FALSE(one());
}

TEST_F(QueueTest, KicksAreAskedForAgainWithoutLosingOne) {
  for (bool event_idx : {false, true}) {
    FakeDriver driver(memory_, kSize, 0x20000 + 0x4000 * event_idx);
    queue_.Stop();
    ASSERT_TRUE(queue_.Start(memory_, driver.Config(false, event_idx)).ok());
    queue_.DisableNotifications();
    if (!event_idx) {
      EXPECT_EQ(driver.UsedFlags(), 1);
    }
    EXPECT_FALSE(queue_.EnableNotifications());
    FakeDriver::Buffer buffer{kData, 1, true};
    driver.Offer(0, std::span(&buffer, 1));
    EXPECT_TRUE(queue_.EnableNotifications()) << "it came between the last Pop and this";
    ASSERT_TRUE(*queue_.Pop(chain_));
    EXPECT_FALSE(queue_.EnableNotifications());
    if (event_idx) {
      EXPECT_EQ(driver.AvailableEvent(), 1);
    } else {
      EXPECT_EQ(driver.UsedFlags(), 0);
    }
  }
}

TEST_F(QueueTest, UndoPopGivesTheSameChainAgain) {
  Start();
  FakeDriver::Buffer buffer{kData, 1, true};
  driver_.Offer(4, std::span(&buffer, 1));
  ASSERT_TRUE(*queue_.Pop(chain_));
  queue_.UndoPop(chain_);
  EXPECT_EQ(queue_.in_flight(), 0);
  ASSERT_TRUE(*queue_.Pop(chain_));
  EXPECT_EQ(chain_.head, 4);
}

TEST_F(QueueTest, StateGoesToAnotherQueue) {
  Start(true, true);
  FakeDriver::Buffer buffer{kData, 1, true};
  driver_.Offer(0, std::span(&buffer, 1));
  ASSERT_TRUE(*queue_.Pop(chain_));
  queue_.Push(chain_, 1);
  driver_.Offer(1, std::span(&buffer, 1));
  QueueState state = queue_.Save();
  queue_.Stop();
  Queue other(256);
  ASSERT_TRUE(other.Restore(memory_, state).ok());
  ASSERT_TRUE(*other.Pop(chain_));
  EXPECT_EQ(chain_.head, 1);
  other.Push(chain_, 7);
  auto used = driver_.TakeUsed();
  ASSERT_EQ(used.size(), 2u);
  EXPECT_EQ(used[1].length, 7u);

  // A state that lies is refused like a driver that does.
  state.config.size = 3;
  EXPECT_FALSE(Queue(256).Restore(memory_, state).ok());
}

TEST_F(QueueTest, UsedIndexIsTakenFromTheRingWhenUnknown) {
  driver_.WriteBytes(driver_.Config().used.value() + 2, std::string_view("\7\0", 2));
  QueueConfig config = driver_.Config();
  config.next_used.reset();
  ASSERT_TRUE(queue_.Start(memory_, config).ok());
  EXPECT_EQ(queue_.Save().config.next_used, 7);
}

TEST_F(QueueTest, WriterSplitsAHeaderOff) {
  Start();
  FakeDriver::Buffer buffers[] = {{kData, 3, true}, {kData + 0x100, 9, true}};
  driver_.Offer(0, buffers);
  ASSERT_TRUE(*queue_.Pop(chain_));
  ChainWriter body(chain_);
  auto header = body.Split(8);
  ASSERT_TRUE(header.has_value());
  EXPECT_TRUE(body.Write<uint32_t>(0x21212121));
  EXPECT_FALSE(body.Write<uint8_t>(0));
  EXPECT_TRUE(header->Write<uint64_t>(0x4141414141414141));
  EXPECT_FALSE(header->Write<uint8_t>(0));
  EXPECT_EQ(body.written(), 12u);
  EXPECT_EQ(driver_.ReadBytes(kData, 3), "AAA");
  EXPECT_EQ(driver_.ReadBytes(kData + 0x100, 9), "AAAAA!!!!");
}

TEST_F(QueueTest, IovecsCoverWhatWasAsked) {
  Start();
  FakeDriver::Buffer buffers[] = {
      {kData, 4, false}, {kData + 0x100, 4, false}, {kData + 0x200, 4, true}};
  driver_.Offer(0, buffers);
  ASSERT_TRUE(*queue_.Pop(chain_));
  ChainReader reader(chain_);
  std::vector<iovec> iov;
  EXPECT_TRUE(reader.Skip(2));
  EXPECT_EQ(reader.TakeIovecs(4, iov), 4u);
  ASSERT_EQ(iov.size(), 2u);
  EXPECT_EQ(iov[0].iov_len, 2u);
  EXPECT_EQ(iov[1].iov_len, 2u);
  EXPECT_EQ(reader.TakeIovecs(100, iov), 2u);
  EXPECT_EQ(reader.left(), 0u);
}

}  // namespace
}  // namespace holt::vmm
