#include "vmm/devices/vsock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <map>

#include "base/socket.h"
#include "vmm/virtio/fake_driver.h"
#include "vmm/virtio/fake_port.h"

namespace holt::vmm {
namespace {

using namespace std::chrono_literals;
using vsock::Header;

constexpr uint16_t kSize = 16;
constexpr uint64_t kReceiveRing = 0x1000, kTransmitRing = 0x4000;
constexpr uint64_t kReceiveData = 0x10000, kTransmitData = 0x80000;
constexpr uint32_t kReceiveBuffer = 4096;

struct Packet {
  Header header;
  std::string body;
};

// A guest kernel played by the test, on real rings; the host's side are real Unix sockets.
class VsockTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/vsock-test-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    directory_ = path;
    // The guest's connections go to sockets in the current directory.
    ASSERT_EQ(chdir(path), 0);
    loop_ = *base::EventLoop::Create();
    Vsock::Options options;
    options.loop = loop_.get();
    options.guest_cid = 3;
    options.listener = *base::ListenUnix(directory_ + "/v.sock");
    options.name = "v.sock";
    auto vsock = Vsock::Create(std::move(options));
    ASSERT_TRUE(vsock.ok()) << vsock.error().message();
    vsock_ = std::move(*vsock);
    ASSERT_TRUE(receive_port_.queue().Start(memory_, receive_.Config()).ok());
    ASSERT_TRUE(transmit_port_.queue().Start(memory_, transmit_.Config()).ok());
    vsock_->SetQueue(Vsock::kReceiveQueue, &receive_port_);
    vsock_->SetQueue(Vsock::kTransmitQueue, &transmit_port_);
  }
  void TearDown() override {
    vsock_.reset();
    ASSERT_EQ(chdir("/"), 0);
    for (const char* name : {"/v.sock", "/v.sock_77"}) unlink((directory_ + name).c_str());
    rmdir(directory_.c_str());
  }

  void Pump() {
    for (int i = 0; i < 20; ++i) loop_->RunOnce(0ns);
  }
  void OfferReceive(int count) {
    for (int i = 0; i < count; ++i) {
      const auto slot = static_cast<uint16_t>(next_receive_++ % kSize);
      FakeDriver::Buffer buffer{kReceiveData + slot * kReceiveBuffer, kReceiveBuffer, true};
      receive_.Offer(slot, std::span(&buffer, 1));
    }
    vsock_->OnKick(Vsock::kReceiveQueue);
    Pump();
  }
  // What the device sent to the guest since the last call.
  std::vector<Packet> Received() {
    std::vector<Packet> packets;
    for (const auto& used : receive_.TakeUsed()) {
      const uint64_t at = kReceiveData + used.id * kReceiveBuffer;
      Packet packet;
      packet.header = *memory_->Read<Header>(GuestAddr(at));
      EXPECT_EQ(used.length, sizeof(Header) + packet.header.length);
      packet.body = receive_.ReadBytes(at + sizeof(Header), packet.header.length);
      packets.push_back(packet);
    }
    return packets;
  }
  Header MakeHeader(uint16_t operation, uint32_t host_port, uint32_t guest_port) {
    Header header{};
    header.source_cid = 3;
    header.destination_cid = 2;
    header.source_port = guest_port;
    header.destination_port = host_port;
    header.type = vsock::kTypeStream;
    header.operation = operation;
    header.buffer_bytes = 65536;
    return header;
  }
  void Send(Header header, std::string_view body = "") {
    header.length = header.length != 0 ? header.length : static_cast<uint32_t>(body.size());
    transmit_.WriteBytes(kTransmitData, {reinterpret_cast<const char*>(&header), sizeof header});
    if (!body.empty()) transmit_.WriteBytes(kTransmitData + sizeof header, body);
    const auto slot = static_cast<uint16_t>(next_transmit_++ % kSize);
    FakeDriver::Buffer buffer{kTransmitData, static_cast<uint32_t>(sizeof header + body.size()),
                              false};
    transmit_.Offer(slot, std::span(&buffer, 1));
    vsock_->OnKick(Vsock::kTransmitQueue);
    Pump();
  }
  // A stream that the guest opened to host port 77; returns the host's end.
  base::UniqueFd GuestConnects(uint32_t guest_port) {
    if (!host_) host_ = *base::ListenUnix(directory_ + "/v.sock_77");
    Send(MakeHeader(vsock::kRequest, 77, guest_port));
    auto accepted = base::AcceptUnix(host_.get());
    EXPECT_TRUE(accepted.ok());
    auto packets = Received();
    EXPECT_EQ(packets.size(), 1u);
    if (!packets.empty()) {
      EXPECT_EQ(packets[0].header.operation, vsock::kResponse);
      EXPECT_EQ(packets[0].header.buffer_bytes, Vsock::kBufferBytes);
    }
    return accepted.ok() ? std::move(*accepted) : base::UniqueFd();
  }
  std::string HostReads(const base::UniqueFd& fd, size_t most = 1 << 20) {
    std::string text(most, '\0');
    ssize_t n = recv(fd.get(), text.data(), text.size(), MSG_DONTWAIT);
    text.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return text;
  }

  std::string directory_;
  std::unique_ptr<base::EventLoop> loop_;
  std::shared_ptr<const GuestMemory> memory_ = MakeTestMemory(0x200000);
  FakeDriver receive_{memory_, kSize, kReceiveRing};
  FakeDriver transmit_{memory_, kSize, kTransmitRing};
  FakePort receive_port_{Vsock::kQueueSize}, transmit_port_{Vsock::kQueueSize};
  std::unique_ptr<Vsock> vsock_;
  base::UniqueFd host_;
  unsigned next_receive_ = 0, next_transmit_ = 0;
};

TEST_F(VsockTest, GuestConnectsAndBytesGoBothWays) {
  OfferReceive(8);
  auto host = GuestConnects(1000);
  Send(MakeHeader(vsock::kData, 77, 1000), "from the guest");
  EXPECT_EQ(HostReads(host), "from the guest");
  ASSERT_EQ(send(host.get(), "from the host", 13, 0), 13);
  Pump();
  auto packets = Received();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].header.operation, vsock::kData);
  EXPECT_EQ(packets[0].body, "from the host");
  EXPECT_EQ(packets[0].header.forwarded_bytes, 14u);
}

TEST_F(VsockTest, HostConnectsByConnectLine) {
  OfferReceive(8);
  auto client = *base::ConnectUnix(directory_ + "/v.sock");
  ASSERT_GT(send(client.get(), "CONNECT 1024\nearly", 18, 0), 0);
  Pump();
  auto packets = Received();
  ASSERT_EQ(packets.size(), 1u);
  ASSERT_EQ(packets[0].header.operation, vsock::kRequest);
  EXPECT_EQ(packets[0].header.destination_port, 1024u);
  const uint32_t port = packets[0].header.source_port;
  EXPECT_EQ(HostReads(client), "") << "no answer before the guest's";
  Send(MakeHeader(vsock::kResponse, port, 1024));
  EXPECT_EQ(HostReads(client), "OK " + std::to_string(port) + "\n");
  packets = Received();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].body, "early") << "what followed the line belongs to the stream";
}

TEST_F(VsockTest, BadConnectLinesAndRefusalsEndTheConnection) {
  OfferReceive(8);
  for (const char* line : {"HELLO\n", "CONNECT \n", "CONNECT 99999999999\n", "CONNECT 12x\n",
                           "CONNECT 000000000000000000000000000001"}) {
    auto client = *base::ConnectUnix(directory_ + "/v.sock");
    ASSERT_GT(send(client.get(), line, strlen(line), 0), 0);
    Pump();
    char c;
    // End of file, or a reset where bytes of the line were left unread.
    EXPECT_LE(recv(client.get(), &c, 1, 0), 0) << line;
  }
  EXPECT_TRUE(Received().empty());
  auto client = *base::ConnectUnix(directory_ + "/v.sock");
  ASSERT_GT(send(client.get(), "CONNECT 5\n", 10, 0), 0);
  Pump();
  auto packets = Received();
  ASSERT_EQ(packets.size(), 1u);
  Send(MakeHeader(vsock::kReset, packets[0].header.source_port, 5));
  char c;
  EXPECT_EQ(recv(client.get(), &c, 1, 0), 0);
  EXPECT_EQ(vsock_->streams(), 0u);
}

TEST_F(VsockTest, NobodyListensOnTheHost) {
  OfferReceive(2);
  Send(MakeHeader(vsock::kRequest, 12345, 9));
  auto packets = Received();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].header.operation, vsock::kReset);
  EXPECT_EQ(packets[0].header.source_port, 12345u);
  EXPECT_EQ(packets[0].header.destination_port, 9u);
}

TEST_F(VsockTest, HostHalfClosesAndStillReads) {
  OfferReceive(8);
  auto host = GuestConnects(1000);
  ASSERT_EQ(send(host.get(), "last", 4, 0), 4);
  shutdown(host.get(), SHUT_WR);
  Pump();
  auto packets = Received();
  ASSERT_EQ(packets.size(), 2u);
  EXPECT_EQ(packets[0].body, "last");
  EXPECT_EQ(packets[1].header.operation, vsock::kShutdown);
  EXPECT_EQ(packets[1].header.flags, vsock::kShutdownSend);
  Send(MakeHeader(vsock::kData, 77, 1000), "answer");
  EXPECT_EQ(HostReads(host), "answer");
}

TEST_F(VsockTest, HostClosesAndTheGuestGetsTheLastBytes) {
  OfferReceive(8);
  auto host = GuestConnects(1000);
  ASSERT_EQ(send(host.get(), "last", 4, 0), 4);
  host.Reset();
  Pump();
  auto packets = Received();
  ASSERT_EQ(packets.size(), 2u);
  EXPECT_EQ(packets[0].body, "last");
  EXPECT_EQ(packets[1].header.operation, vsock::kShutdown);
  EXPECT_EQ(packets[1].header.flags, vsock::kShutdownSend | vsock::kShutdownReceive);
  Send(MakeHeader(vsock::kReset, 77, 1000));
  EXPECT_EQ(vsock_->streams(), 0u);
}

TEST_F(VsockTest, GuestClosesAndASlowHostGetsAllBytes) {
  OfferReceive(8);
  auto host = GuestConnects(1000);
  int small = 4096;
  setsockopt(host.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  std::string sent;
  // More than a socket buffer takes, and no more than the credit beyond it.
  for (int i = 0; i < 60; ++i) {
    std::string piece(4096, static_cast<char>('a' + i % 26));
    sent += piece;
    Send(MakeHeader(vsock::kData, 77, 1000), piece);
  }
  Header close = MakeHeader(vsock::kShutdown, 77, 1000);
  close.flags = vsock::kShutdownSend | vsock::kShutdownReceive;
  Send(close);
  Send(MakeHeader(vsock::kReset, 77, 1000));
  std::string got;
  for (int i = 0; i < 200 && got.size() < sent.size(); ++i) {
    got += HostReads(host);
    Pump();
  }
  EXPECT_EQ(got, sent);
  char c;
  EXPECT_EQ(recv(host.get(), &c, 1, MSG_DONTWAIT), 0) << "then the end of file";
  EXPECT_EQ(vsock_->streams(), 0u);
}

// --- a hostile guest ---

TEST_F(VsockTest, GuestThatIgnoresItsCreditIsCutOff) {
  OfferReceive(4);
  auto host = GuestConnects(1000);
  // The host's side does not read. Its socket takes some; then our buffer fills, and no more.
  std::string piece(32768, 'x');
  for (int i = 0; i < 64 && vsock_->streams() == 1; ++i) {
    Send(MakeHeader(vsock::kData, 77, 1000), piece);
    OfferReceive(1);
  }
  EXPECT_EQ(vsock_->streams(), 0u);
  auto packets = Received();
  ASSERT_FALSE(packets.empty());
  EXPECT_EQ(packets.back().header.operation, vsock::kReset);
}

TEST_F(VsockTest, LengthBeyondTheBuffersIsNotBelieved) {
  OfferReceive(4);
  auto host = GuestConnects(1000);
  Header header = MakeHeader(vsock::kData, 77, 1000);
  header.length = 0xffffffff;
  Send(header, "short");
  header.length = 6;
  Send(header, "short");
  EXPECT_EQ(HostReads(host), "");
  Send(MakeHeader(vsock::kData, 77, 1000), "fine");
  EXPECT_EQ(HostReads(host), "fine");
}

TEST_F(VsockTest, ForeignAddressesAreDropped) {
  OfferReceive(4);
  host_ = *base::ListenUnix(directory_ + "/v.sock_77");
  Header header = MakeHeader(vsock::kRequest, 77, 5);
  header.source_cid = 4;
  Send(header);
  header = MakeHeader(vsock::kRequest, 77, 5);
  header.destination_cid = 4;
  Send(header);
  EXPECT_EQ(vsock_->streams(), 0u);
  EXPECT_TRUE(Received().empty());
  header = MakeHeader(vsock::kRequest, 77, 5);
  header.type = 2;  // seqpacket was not offered
  Send(header);
  auto packets = Received();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].header.operation, vsock::kReset);
}

TEST_F(VsockTest, HostBytesWaitForTheGuestsCredit) {
  OfferReceive(8);
  host_ = *base::ListenUnix(directory_ + "/v.sock_77");
  Header request = MakeHeader(vsock::kRequest, 77, 5);
  request.buffer_bytes = 10;
  Send(request);
  auto host = *base::AcceptUnix(host_.get());
  (void)Received();
  ASSERT_EQ(send(host.get(), "0123456789abcdef", 16, 0), 16);
  Pump();
  auto packets = Received();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].body, "0123456789");
  // More forwarded than was ever sent is no credit of four gigabytes.
  Header lie = MakeHeader(vsock::kCreditUpdate, 77, 5);
  lie.buffer_bytes = 10;
  lie.forwarded_bytes = 1000;
  Send(lie);
  EXPECT_TRUE(Received().empty());
  Header update = MakeHeader(vsock::kCreditUpdate, 77, 5);
  update.buffer_bytes = 10;
  update.forwarded_bytes = 10;
  Send(update);
  packets = Received();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].body, "abcdef");
}

TEST_F(VsockTest, FullReceiveRingDoesNotFreezeTheDevice) {
  auto listener = *base::ListenUnix(directory_ + "/v.sock_77");
  // No receive buffer at all: answers wait, a bounded number of them, and nothing is lost.
  for (uint32_t i = 0; i < 3 * Vsock::kMaxResets; ++i) {
    if (transmit_port_.queue().next_available() + 0u + kSize <= next_transmit_) break;
    Send(MakeHeader(vsock::kData, 1, i + 1), "x");
  }
  const unsigned sent = next_transmit_;
  EXPECT_GT(sent, Vsock::kMaxResets);
  EXPECT_LE(transmit_.UsedIndex(), Vsock::kMaxResets)
      << "a guest that takes no answers is made to wait";
  unsigned resets = 0;
  for (int i = 0; i < 40; ++i) {
    OfferReceive(8);
    resets += static_cast<unsigned>(Received().size());
  }
  EXPECT_EQ(resets, sent);
  EXPECT_EQ(transmit_.UsedIndex(), sent);
}

// The ring is longer than any driver's, as one is to which another processor goes on adding.
TEST_F(VsockTest, ABusyGuestLeavesTheLoopToOthers) {
  constexpr uint16_t kPackets = Vsock::kBudget + 100;
  FakePort port(1024);
  FakeDriver rings(memory_, 1024, 0x100000);
  ASSERT_TRUE(port.queue().Start(memory_, rings.Config()).ok());
  vsock_->SetQueue(Vsock::kTransmitQueue, &port);
  // What needs no answer: the end of a stream that was never there.
  const Header header = MakeHeader(vsock::kReset, 1, 1);
  rings.WriteBytes(kTransmitData, {reinterpret_cast<const char*>(&header), sizeof header});
  const FakeDriver::Buffer buffer{kTransmitData, sizeof header, false};
  for (uint16_t i = 0; i < kPackets; ++i) rings.Offer(i, std::span(&buffer, 1));
  vsock_->OnKick(Vsock::kTransmitQueue);
  EXPECT_EQ(rings.TakeUsed().size(), Vsock::kBudget);
  loop_->RunOnce(0ns);
  EXPECT_EQ(rings.TakeUsed().size(), kPackets - Vsock::kBudget);
  vsock_->SetQueue(Vsock::kTransmitQueue, &transmit_port_);
}

TEST_F(VsockTest, OpeningAndResettingWithoutTakingAnswersStaysBounded) {
  host_ = *base::ListenUnix(directory_ + "/v.sock_77");
  for (int i = 0; i < 2000; ++i) {
    Send(MakeHeader(vsock::kRequest, 77, 5));
    Send(MakeHeader(vsock::kReset, 77, 5));
    (void)base::AcceptUnix(host_.get());
  }
  EXPECT_EQ(vsock_->streams(), 0u);
  OfferReceive(8);
  EXPECT_TRUE(Received().empty()) << "nothing is owed to streams that are gone";
}

TEST_F(VsockTest, ReceiveBuffersTooSmallForAPacketAreReturnedEmpty) {
  FakeDriver::Buffer tiny{kReceiveData, 20, true};
  receive_.Offer(0, std::span(&tiny, 1));
  next_receive_ = 1;
  Send(MakeHeader(vsock::kRequest, 9, 9));
  auto used = receive_.TakeUsed();
  ASSERT_EQ(used.size(), 1u);
  EXPECT_EQ(used[0].length, 0u);
  OfferReceive(1);
  auto packets = Received();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].header.operation, vsock::kReset);
}

TEST_F(VsockTest, BrokenRingIsReportedAndHarmless) {
  OfferReceive(2);
  transmit_.OfferHead(kSize + 3);
  vsock_->OnKick(Vsock::kTransmitQueue);
  EXPECT_EQ(transmit_port_.broken, "head 19 in a queue of 16");
}

TEST_F(VsockTest, StreamsEndWithTheDriver) {
  OfferReceive(4);
  auto host = GuestConnects(1000);
  vsock_->SetQueue(Vsock::kReceiveQueue, nullptr);
  vsock_->SetQueue(Vsock::kTransmitQueue, nullptr);
  vsock_->EndStreams();
  char c;
  EXPECT_EQ(recv(host.get(), &c, 1, 0), 0);
  EXPECT_EQ(vsock_->streams(), 0u);
}

TEST_F(VsockTest, WhatTheGuestSentOutlivesTheDriver) {
  OfferReceive(8);
  auto host = GuestConnects(1000);
  std::string sent;
  for (int i = 0; i < 60; ++i) {
    std::string piece(4096, static_cast<char>('a' + i % 26));
    sent += piece;
    Send(MakeHeader(vsock::kData, 77, 1000), piece);
  }
  vsock_->SetQueue(Vsock::kReceiveQueue, nullptr);
  vsock_->SetQueue(Vsock::kTransmitQueue, nullptr);
  vsock_->EndStreams();
  EXPECT_EQ(vsock_->streams(), 1u);
  std::string got;
  for (int i = 0; i < 200 && got.size() < sent.size(); ++i) {
    got += HostReads(host);
    Pump();
  }
  EXPECT_EQ(got, sent);
  EXPECT_EQ(vsock_->streams(), 0u);
}

TEST(Vsock, BadOptionsAreRefused) {
  auto loop = *base::EventLoop::Create();
  auto create = [&](uint64_t cid, const std::string& name) {
    Vsock::Options options;
    options.loop = loop.get();
    options.guest_cid = cid;
    options.name = name;
    return Vsock::Create(std::move(options)).ok();
  };
  EXPECT_TRUE(create(3, "v.sock"));
  EXPECT_FALSE(create(2, "v.sock"));
  EXPECT_FALSE(create(0xffffffff, "v.sock"));
  EXPECT_FALSE(create(3, "../v.sock"));
  EXPECT_FALSE(create(3, std::string(200, 'v')));
}

}  // namespace
}  // namespace holt::vmm
