// The front end against the real back end, and against ones that break the protocol.
#include "vmm/vhost_user/frontend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <thread>

#include "base/socket.h"
#include "vmm/devices/fs.h"
#include "vmm/memory/layout.h"
#include "vmm/vhost_user/backend.h"
#include "vmm/virtio/fake_driver.h"

namespace holt::vmm::vhost_user {
namespace {

using ::testing::HasSubstr;

// Answers each buffer with its text in capitals.
class ShoutDevice : public Device {
 public:
  unsigned QueueCount() const override { return 3; }
  uint16_t MaxQueueSize() const override { return 64; }
  void StartQueue(BackendQueue&) override { ++running; }
  void StopQueue(BackendQueue&) override { --running; }
  void OnKick(BackendQueue& queue) override {
    DescriptorChain chain;
    while (true) {
      auto popped = queue.queue().Pop(chain);
      if (!popped || !*popped) break;
      ChainReader reader(chain);
      ChainWriter writer(chain);
      char c = 0;
      while (reader.Read(c) && writer.Write(static_cast<char>(std::toupper(c)))) {
      }
      queue.queue().Push(chain, writer.written());
    }
    queue.Notify();
  }
  void Reset() override { ++resets; }
  std::atomic<int> running{0};
  std::atomic<int> resets{0};
};

class FrontendTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto pair = base::SocketPair();
    front_ = std::move(pair->first);
    back_ = std::move(pair->second);
    layout_ = LayoutOf(2 * kMiB);
  }
  static GuestMemoryFile LayoutOf(uint64_t bytes) {
    auto allocated = AllocateGuestMemory(LayoutFor(bytes));
    HOLT_CHECK(allocated.ok());
    return std::move(*allocated);
  }
  void ServeWithRealBackend() {
    server_ = std::thread([this] {
      auto loop = *base::EventLoop::Create();
      Backend::Options options;
      options.loop = loop.get();
      options.socket = std::move(back_);
      options.device = &device_;
      options.on_closed = [&](const base::Error&) { loop->Stop(); };
      auto backend = *Backend::Create(std::move(options));
      loop->Run();
    });
  }
  // Answers every request with `answer(request)`.
  void ServeWith(std::function<std::string(const Message&)> answer, uint32_t flags = kFlagReply) {
    server_ = std::thread([this, answer, flags] {
      MessageReader reader(back_.get());
      Message message;
      while (true) {
        auto complete = reader.Read(message);
        if (!complete) return;
        if (!*complete) {
          usleep(1000);
          continue;
        }
        const std::string payload = answer(message);
        if (payload == "close") {
          shutdown(back_.get(), SHUT_RDWR);
          return;
        }
        if (!payload.empty())
          (void)SendMessage(back_.get(), message.header.request, flags, payload).ok();
      }
    });
  }
  std::string ConnectError() {
    auto frontend = Frontend::Connect(std::move(front_));
    std::string text = frontend ? "connected" : frontend.error().message();
    if (frontend) frontend->reset();
    server_.join();
    return text;
  }
  void TearDown() override {
    front_.Reset();
    if (server_.joinable()) server_.join();
  }

  base::UniqueFd front_;
  base::UniqueFd back_;
  GuestMemoryFile layout_;
  ShoutDevice device_;
  std::thread server_;
};

TEST_F(FrontendTest, QueuesRunStopAndRunAgain) {
  ServeWithRealBackend();
  auto connected = Frontend::Connect(std::move(front_));
  ASSERT_TRUE(connected.ok()) << connected.error().message();
  Frontend& frontend = **connected;
  EXPECT_EQ(frontend.queue_count(), 3u);
  EXPECT_NE(frontend.features() & kFeatureEventIdx, 0u);

  FakeDriver driver(layout_.memory, 8, 0x10000);
  base::UniqueFd kick(eventfd(0, EFD_CLOEXEC));
  base::UniqueFd call(eventfd(0, EFD_CLOEXEC));
  std::vector<ExternalQueue> queues = {{1, driver.Config(), kick.get(), call.get()}};
  for (uint16_t round = 0; round < 3; ++round) {
    auto started = frontend.Start(kFeatureVersion1, *layout_.memory, layout_.file.get(), queues);
    ASSERT_TRUE(started.ok()) << started.error().message();
    EXPECT_EQ(device_.running, 1);
    driver.WriteBytes(0x20000, "otter");
    const FakeDriver::Buffer buffers[] = {{0x20000, 5, false}, {0x20100, 16, true}};
    driver.Offer(0, buffers);
    ASSERT_EQ(eventfd_write(kick.get(), 1), 0);
    pollfd called{call.get(), POLLIN, 0};
    ASSERT_EQ(poll(&called, 1, 5000), 1);
    eventfd_t count = 0;
    ASSERT_EQ(eventfd_read(call.get(), &count), 0);
    EXPECT_EQ(driver.ReadBytes(0x20100, 5), "OTTER");
    auto stopped = frontend.Stop(queues);
    ASSERT_TRUE(stopped.ok()) << stopped.error().message();
    EXPECT_EQ(device_.running, 0);
    EXPECT_EQ(device_.resets, round + 1);
    EXPECT_EQ(queues[0].config.next_available, round + 1);
  }
  connected->reset();
}

TEST_F(FrontendTest, ARefusalIsAnErrorThatNamesTheRequest) {
  ServeWithRealBackend();
  auto connected = Frontend::Connect(std::move(front_));
  ASSERT_TRUE(connected.ok()) << connected.error().message();
  FakeDriver driver(layout_.memory, 8, 0x10000);
  base::UniqueFd event(eventfd(0, EFD_CLOEXEC));
  std::vector<ExternalQueue> queues = {{7, driver.Config(), event.get(), event.get()}};
  auto started = (*connected)->Start(kFeatureVersion1, *layout_.memory, layout_.file.get(), queues);
  ASSERT_FALSE(started.ok());
  EXPECT_THAT(started.error().message(), HasSubstr("SET_VRING_NUM: the back end refused"));
  connected->reset();
}

TEST_F(FrontendTest, BackEndsThatLackSomethingAreNamed) {
  ServeWith([](const Message&) { return std::string(BytesOf(uint64_t{0})); });
  EXPECT_THAT(ConnectError(), HasSubstr("without VERSION_1"));
}

TEST_F(FrontendTest, AnotherAnswerThanAskedForIsAnError) {
  server_ = std::thread(
      [this] { (void)SendMessage(back_.get(), 15, kFlagReply, BytesOf(uint64_t{1})).ok(); });
  EXPECT_THAT(ConnectError(), HasSubstr("answered something else (GET_PROTOCOL_FEATURES)"));
}

TEST_F(FrontendTest, AnAnswerOfAnotherSizeIsAnError) {
  ServeWith([](const Message&) { return std::string("x"); });
  EXPECT_THAT(ConnectError(), HasSubstr("payload of 1 bytes"));
}

TEST_F(FrontendTest, AnEndIsAnError) {
  ServeWith([](const Message&) { return std::string("close"); });
  EXPECT_THAT(ConnectError(), HasSubstr("closed the connection"));
}

TEST_F(FrontendTest, TooManyQueuesAreAnError) {
  ServeWith([](const Message& message) {
    uint64_t value = kFeatureVersion1 | kFeatureProtocolFeatures;
    if (message.request() == Request::kGetProtocolFeatures)
      value = kProtocolMultiQueue | kProtocolReplyAck;
    if (message.request() == Request::kSetProtocolFeatures) return std::string();
    if (message.request() == Request::kGetQueueNum) value = 1u << 30;
    return std::string(BytesOf(value));
  });
  EXPECT_THAT(ConnectError(), HasSubstr("has 1073741824 queues"));
}

TEST_F(FrontendTest, FsDeviceReportsTheEndOfItsServer) {
  ServeWithRealBackend();
  auto loop = *base::EventLoop::Create();
  std::string why;
  FsDevice::Options options;
  options.loop = loop.get();
  options.tag = "holt";
  options.socket = std::move(front_);
  options.vcpus = 8;
  options.memory = layout_.memory;
  options.memory_fd = layout_.file.get();
  options.on_failed = [&](const base::Error& error) { why = error.message(); };
  auto device = FsDevice::Create(std::move(options));
  ASSERT_TRUE(device.ok()) << device.error().message();
  // Two request queues is what the server has.
  EXPECT_EQ((*device)->QueueSizes(), (std::vector<uint16_t>{1024, 1024, 1024}));
  std::array<std::byte, 40> config{};
  (*device)->ReadConfig(0, config);
  EXPECT_EQ(std::memcmp(config.data(), "holt\0", 5), 0);
  EXPECT_EQ(config[36], std::byte{2});
  // Garbage ends the real back end's patience.
  (void)send((*device)->socket_for_test(), "garbage-garbage-garbage", 23, MSG_NOSIGNAL);
  for (int i = 0; i < 100 && why.empty(); ++i) loop->RunOnce(std::chrono::milliseconds(50));
  EXPECT_THAT(why, ::testing::StartsWith("vhost-user: "));
}

}  // namespace
}  // namespace holt::vmm::vhost_user
