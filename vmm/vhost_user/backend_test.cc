// A front end that breaks the rules, over a real socket: the back end answers, refuses or hangs up,
// and serves well what is well asked.
#include "vmm/vhost_user/backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "base/socket.h"
#include "vmm/virtio/fake_driver.h"

namespace holt::vmm::vhost_user {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr uint64_t kMemory = 1 << 20;
constexpr uint64_t kUser = 0x7f0000000000;  // where the front end claims to have mapped it
constexpr uint64_t kFeatures = kFeatureVersion1 | kFeatureProtocolFeatures;

// Answers each request with its own bytes, turned round.
class Turner : public Device {
 public:
  unsigned QueueCount() const override { return 2; }
  uint16_t MaxQueueSize() const override { return 64; }
  bool HasConfig() const override { return true; }
  bool ConfigChanges() const override { return changes; }
  void ReadConfig(uint32_t offset, std::span<std::byte> out) const override {
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>(offset + i);
  }
  void StartQueue(BackendQueue&) override { ++running; }
  void StopQueue(BackendQueue&) override { --running; }
  void OnKick(BackendQueue& queue) override {
    DescriptorChain chain;
    while (true) {
      auto popped = queue.queue().Pop(chain);
      if (!popped) return queue.ReportBroken(popped.error());
      if (!*popped) return;
      ChainReader reader(chain);
      std::vector<std::byte> bytes(reader.left());
      (void)reader.Read(std::span(bytes));
      std::reverse(bytes.begin(), bytes.end());
      ChainWriter writer(chain);
      (void)writer.Write(std::as_bytes(std::span(bytes)));
      queue.queue().Push(chain, writer.written());
      queue.Notify();
    }
  }
  void Reset() override { ++resets; }
  int running = 0;
  int resets = 0;
  bool changes = false;
};

class BackendTest : public ::testing::Test {
 protected:
  void SetUp() override {
    loop_ = *base::EventLoop::Create();
    auto [front, back] = *base::SocketPair();
    front_ = std::move(front);
    Backend::Options options;
    options.loop = loop_.get();
    options.socket = std::move(back);
    options.device = &device_;
    options.on_closed = [this](const base::Error& why) { closed_ = why.message(); };
    backend_ = *Backend::Create(std::move(options));
    memory_fd_ = base::UniqueFd(memfd_create("guest", MFD_CLOEXEC));
    ASSERT_EQ(ftruncate(memory_fd_.get(), kMemory), 0);
    kick_ = base::UniqueFd(eventfd(0, EFD_CLOEXEC));
    call_ = base::UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  }

  void Pump() {
    for (int i = 0; i < 5; ++i) loop_->RunOnce(0ns);
  }
  void Send(Request request, std::string_view payload, std::vector<int> fds = {},
            uint32_t flags = 0) {
    (void)SendMessage(front_.get(), static_cast<uint32_t>(request), kVersion | flags, payload, fds);
    Pump();
  }
  // The answer to the last request, "" when there is none.
  std::string Answer() {
    pollfd ready{front_.get(), POLLIN, 0};
    if (poll(&ready, 1, 0) != 1) return "";
    auto message = base::ReceiveWithFds(front_.get(), sizeof(Header) + kMaxPayload, 1);
    return message.ok() && message->data.size() > sizeof(Header)
               ? message->data.substr(sizeof(Header))
               : "";
  }
  static std::string Table(std::vector<MemoryRegion> regions) {
    std::string out(BytesOf(MemoryTableHeader{static_cast<uint32_t>(regions.size()), 0}));
    for (const MemoryRegion& region : regions) out += BytesOf(region);
    return out;
  }
  void ShareMemory() {
    Send(Request::kSetMemTable, Table({{0, kMemory, kUser, 0}}), {memory_fd_.get()});
  }
  // Queue 0 of 16 descriptors, laid out as FakeDriver does from `base`.
  void StartQueue(uint64_t base = kUser + 0x1000) {
    Send(Request::kSetFeatures, BytesOf(kFeatures));
    Send(Request::kSetVringNum, BytesOf(VringState{0, 16}));
    Send(Request::kSetVringBase, BytesOf(VringState{0, 0}));
    Send(Request::kSetVringAddr,
         BytesOf(VringAddress{0, 0, base, base + 16 * 16 + 48, base + 16 * 16, 0}));
    Send(Request::kSetVringCall, BytesOf(uint64_t{0}), {call_.get()});
    Send(Request::kSetVringKick, BytesOf(uint64_t{0}), {kick_.get()});
    Send(Request::kSetVringEnable, BytesOf(VringState{0, 1}));
  }

  Turner device_;
  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<Backend> backend_;
  base::UniqueFd front_, memory_fd_, kick_, call_;
  std::string closed_;
};

TEST_F(BackendTest, ServesAQueueInSharedMemory) {
  ShareMemory();
  StartQueue();
  ASSERT_EQ(closed_, "");
  ASSERT_EQ(device_.running, 1);
  // The driver sees the same pages through the descriptor.
  auto memory = GuestMemory::Map(
      std::vector<GuestMemory::RegionSpec>{{GuestAddr(0), kMemory, memory_fd_.get(), 0}});
  ASSERT_TRUE(memory.ok());
  FakeDriver driver(*memory, 16, 0x1000);
  const QueueConfig layout = driver.Config();
  Send(Request::kSetVringEnable, BytesOf(VringState{0, 0}));
  EXPECT_EQ(device_.running, 0);
  Send(Request::kSetVringAddr,
       BytesOf(VringAddress{0, 0, kUser + layout.descriptors.value(), kUser + layout.used.value(),
                            kUser + layout.available.value(), 0}));
  Send(Request::kSetVringEnable, BytesOf(VringState{0, 1}));
  driver.WriteBytes(0x8000, "hello");
  const FakeDriver::Buffer buffers[] = {{0x8000, 5, false}, {0x9000, 5, true}};
  driver.Offer(0, buffers);
  uint64_t one = 1;
  ASSERT_EQ(write(kick_.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
  Pump();
  EXPECT_EQ(driver.ReadBytes(0x9000, 5), "olleh");
  EXPECT_EQ(driver.TakeUsed().size(), 1u);
  EXPECT_EQ(read(call_.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one))
      << "an interrupt";
  // Where it stands is told, and it stops.
  Send(Request::kGetVringBase, BytesOf(VringState{0, 0}));
  EXPECT_EQ(device_.running, 0);
  VringState state{};
  const std::string answer = Answer();
  ASSERT_EQ(answer.size(), sizeof state);
  std::memcpy(&state, answer.data(), sizeof state);
  EXPECT_EQ(state.number, 1u);
}

TEST_F(BackendTest, TheEndOfTheFrontEndStopsAndForgets) {
  ShareMemory();
  StartQueue();
  ASSERT_EQ(device_.running, 1);
  front_.Reset();
  Pump();
  EXPECT_EQ(device_.running, 0);
  EXPECT_EQ(device_.resets, 1);
  EXPECT_NE(closed_, "");
}

// Each is a protocol error: the connection ends, with a word about why, and nothing is mapped or
// started.
TEST_F(BackendTest, MemoryTablesAreChecked) {
  const int fd = memory_fd_.get();
  struct Case {
    const char* name;
    std::string payload;
    std::vector<int> fds;
  };
  std::string lying = Table({{0, kMemory, kUser, 0}});
  lying[0] = 8;
  const Case cases[] = {
      {"more regions than bytes", lying, {fd}},
      {"fewer descriptors than regions",
       Table({{0, kMemory / 2, kUser, 0}, {kMemory, kMemory / 2, kUser + kMemory, 0}}),
       {fd}},
      {"beyond the end of the file", Table({{0, kMemory * 2, kUser, 0}}), {fd}},
      {"an offset that wraps", Table({{0, kMemory, kUser, UINT64_MAX - 4095}}), {fd}},
      {"an address that wraps", Table({{UINT64_MAX - 4095, kMemory, kUser, 0}}), {fd}},
      {"regions that overlap",
       Table({{0, kMemory, kUser, 0}, {4096, kMemory, kUser + kMemory, 0}}),
       {fd, fd}},
      {"an empty region", Table({{0, 0, kUser, 0}}), {fd}},
      {"a short message", "x", {}},
  };
  for (const Case& wrong : cases) {
    SCOPED_TRACE(wrong.name);
    TearDown();
    backend_.reset();
    closed_.clear();
    SetUp();
    std::vector<int> fds(wrong.fds.size(), memory_fd_.get());
    Send(Request::kSetMemTable, wrong.payload, fds);
    EXPECT_THAT(closed_, HasSubstr("SET_MEM_TABLE"));
  }
}

TEST_F(BackendTest, ARegionThatIsThereMayComeAgainAndNoOther) {
  const SingleRegion region{0, {0, kMemory, kUser, 0}};
  for (int i = 0; i < 2; ++i) Send(Request::kAddMemReg, BytesOf(region), {memory_fd_.get()});
  StartQueue();
  EXPECT_EQ(closed_, "");
  EXPECT_EQ(device_.running, 1);
  base::UniqueFd other(memfd_create("another", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(other.get(), kMemory), 0);
  Send(Request::kAddMemReg, BytesOf(region), {other.get()});
  EXPECT_NE(closed_.find("overlap"), std::string::npos) << closed_;
}

TEST_F(BackendTest, RingsOutsideTheMemoryDoNotStart) {
  for (uint64_t base :
       {kUser + kMemory, kUser + kMemory - 64, kUser - 4096, uint64_t{0}, UINT64_MAX - 100}) {
    SCOPED_TRACE(base);
    backend_.reset();
    closed_.clear();
    device_ = {};
    SetUp();
    ShareMemory();
    ASSERT_EQ(closed_, "");
    StartQueue(base);
    EXPECT_EQ(device_.running, 0);
    EXPECT_NE(closed_, "");
  }
}

TEST_F(BackendTest, RequestsOutOfBoundsEndTheConnection) {
  const std::pair<Request, std::string> cases[] = {
      {Request::kSetVringNum, std::string(BytesOf(VringState{2, 16}))},
      {Request::kSetVringNum, std::string(BytesOf(VringState{0, 0}))},
      {Request::kSetVringNum, std::string(BytesOf(VringState{0, 65}))},
      {Request::kSetVringNum, "short"},
      {Request::kSetVringBase, std::string(BytesOf(VringState{0, 70000}))},
      {Request::kSetVringEnable, std::string(BytesOf(VringState{255, 1}))},
      {Request::kGetVringBase, std::string(BytesOf(VringState{9, 0}))},
      {Request::kSetVringKick, std::string(BytesOf(uint64_t{0}))},           // no descriptor
      {Request::kSetVringKick, std::string(BytesOf(uint64_t{kVringNoFd}))},  // polling
      {Request::kSetVringCall, std::string(BytesOf(uint64_t{7}))},
      {Request::kSetFeatures, std::string(BytesOf(uint64_t{1} << 60))},
      {Request::kSetProtocolFeatures, std::string(BytesOf(uint64_t{1} << 60))},
      {Request::kGetConfig, std::string(BytesOf(ConfigHeader{200, 200, 0}))},
      {Request::kGetConfig, std::string(BytesOf(ConfigHeader{UINT32_MAX, 1, 0}))},
      {Request::kSetLogBase, std::string(16, '\0')},
      {static_cast<Request>(1234), ""},
  };
  for (const auto& [request, payload] : cases) {
    SCOPED_TRACE(RequestName(static_cast<uint32_t>(request)) + " " +
                 std::to_string(payload.size()));
    backend_.reset();
    closed_.clear();
    SetUp();
    Send(request, payload);
    EXPECT_NE(closed_, "");
  }
}

TEST_F(BackendTest, AFrontEndIsToldOfAChangeWhereThereMayBeOne) {
  auto [theirs, ours] = *base::SocketPair();
  backend_->TellConfigChanged();
  Send(Request::kSetBackendRequestFd, "", {ours.get()});
  EXPECT_NE(closed_, "") << "was not offered";
  device_.changes = true;
  backend_.reset();
  closed_.clear();
  SetUp();
  Send(Request::kGetProtocolFeatures, "");
  uint64_t features = 0;
  const std::string answer = Answer();
  ASSERT_EQ(answer.size(), sizeof features);
  std::memcpy(&features, answer.data(), sizeof features);
  EXPECT_NE(features & kProtocolBackendRequests, 0u);
  Send(Request::kSetBackendRequestFd, "", {ours.get()});
  ours.Reset();
  ASSERT_EQ(closed_, "");
  backend_->TellConfigChanged();
  Header header{};
  ASSERT_EQ(read(theirs.get(), &header, sizeof header), static_cast<ssize_t>(sizeof header));
  EXPECT_EQ(header.request, static_cast<uint32_t>(BackendRequest::kConfigChange));
  EXPECT_EQ(header.flags, kVersion);
  EXPECT_EQ(header.size, 0u);
  // One that does not read, or is gone, costs nothing.
  base::log::SetLevel(base::log::Level::kError);
  for (int i = 0; i < 1000; ++i) backend_->TellConfigChanged();
  theirs.Reset();
  backend_->TellConfigChanged();
  base::log::SetLevel(base::log::Level::kInfo);
  Send(Request::kSetBackendRequestFd, "");
  EXPECT_NE(closed_, "") << "no descriptor";
}

TEST_F(BackendTest, AnOversizeMessageIsNotWaitedFor) {
  Header header{static_cast<uint32_t>(Request::kGetFeatures), kVersion, UINT32_MAX};
  ASSERT_EQ(write(front_.get(), &header, sizeof header), static_cast<ssize_t>(sizeof header));
  Pump();
  EXPECT_NE(closed_, "");
}

TEST_F(BackendTest, ARunningRingIsFrozen) {
  ShareMemory();
  StartQueue();
  ASSERT_EQ(device_.running, 1);
  Send(Request::kSetProtocolFeatures, BytesOf(kProtocolReplyAck));
  for (auto request : {Request::kSetVringNum, Request::kSetVringBase}) {
    Send(request, BytesOf(VringState{0, 8}), {}, kFlagNeedReply);
    EXPECT_EQ(Answer(), BytesOf(uint64_t{1})) << "refused";
  }
  Send(Request::kSetVringAddr, BytesOf(VringAddress{0, 0, kUser, kUser, kUser, 0}), {},
       kFlagNeedReply);
  EXPECT_EQ(Answer(), BytesOf(uint64_t{1}));
  EXPECT_EQ(device_.running, 1);
}

}  // namespace
}  // namespace holt::vmm::vhost_user
