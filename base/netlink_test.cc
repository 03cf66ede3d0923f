#include "base/netlink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cstring>
#include <thread>

namespace holt::base {
namespace {

using ::testing::HasSubstr;

std::vector<std::byte> Message(uint16_t type, std::string_view payload, uint32_t sequence = 1,
                               uint16_t flags = 0) {
  nlmsghdr header{};
  header.nlmsg_len = static_cast<uint32_t>(sizeof header + payload.size());
  header.nlmsg_type = type;
  header.nlmsg_flags = flags;
  header.nlmsg_seq = sequence;
  std::vector<std::byte> bytes((header.nlmsg_len + 3) & ~3u);
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, payload.data(), payload.size());
  return bytes;
}

std::string ErrorPayload(int error) {
  nlmsgerr answer{};
  answer.error = error;
  return {reinterpret_cast<const char*>(&answer), sizeof answer};
}

struct Parsed {
  Status status;
  std::vector<NetlinkMessage> messages;
  bool done = false;
  bool interrupted = false;
};
Parsed Parse(std::span<const std::byte> bytes) {
  Parsed out;
  out.status = ParseNetlinkDatagram(bytes, 1, out.messages, out.done, out.interrupted);
  return out;
}

TEST(NetlinkTest, NestsAndStringsComeBackAsTheyWentIn) {
  NetlinkRequest request(RTM_NEWLINK);
  request.Header(ifinfomsg{});
  request.String(IFLA_IFNAME, "eth0");
  const size_t outer = request.Begin(IFLA_LINKINFO);
  request.Value<uint32_t>(7, 0x01020304);
  request.Bytes(8, "abc");
  request.End(outer);
  request.Value<uint8_t>(9, 5);
  NetlinkMessage message;
  message.payload.assign(request.bytes().begin() + sizeof(nlmsghdr), request.bytes().end());
  auto attributes = message.Attributes<ifinfomsg>();
  ASSERT_TRUE(attributes.ok());
  EXPECT_EQ(attributes->String(IFLA_IFNAME), "eth0");
  EXPECT_EQ(attributes->Value<uint8_t>(9), 5);
  EXPECT_EQ(attributes->Value<uint32_t>(9), std::nullopt) << "of another size";
  EXPECT_FALSE(attributes->Has(IFLA_MTU));
  auto nested = NetlinkAttributes::Parse(attributes->Raw(IFLA_LINKINFO));
  ASSERT_TRUE(nested.ok());
  EXPECT_EQ(nested->Value<uint32_t>(7), 0x01020304u);
  EXPECT_EQ(nested->Bytes(8), "abc");
}

TEST(NetlinkTest, AttributesThatReachOutsideAreAnError) {
  for (uint16_t length : {0, 3, 9, 65535}) {
    std::array<uint16_t, 4> bytes{length, 1, 0, 0};
    EXPECT_FALSE(NetlinkAttributes::Parse(std::as_bytes(std::span(bytes))).ok()) << length;
  }
  std::array<uint16_t, 1> tail{4};
  EXPECT_TRUE(NetlinkAttributes::Parse(std::as_bytes(std::span(tail))).ok()) << "padding";
}

TEST(NetlinkTest, MessagesThatReachOutsideAreAnError) {
  auto bytes = Message(RTM_NEWLINK, "abcd");
  for (uint32_t length : {0u, 15u, 21u, UINT32_MAX}) {
    std::memcpy(bytes.data(), &length, sizeof length);
    EXPECT_EQ(Parse(bytes).status.error().code(), Code::kDataLoss) << length;
  }
  EXPECT_FALSE(Parse(Message(NLMSG_ERROR, "abc")).status.ok()) << "an error without a number";
  NetlinkMessage shorter{RTM_NEWLINK, std::vector<std::byte>(sizeof(ifinfomsg) - 1)};
  EXPECT_FALSE(shorter.Header<ifinfomsg>().ok());
}

TEST(NetlinkTest, AnswersAreToldApart) {
  EXPECT_TRUE(Parse(Message(NLMSG_ERROR, ErrorPayload(0))).done);
  auto refused = Parse(Message(NLMSG_ERROR, ErrorPayload(-EEXIST)));
  EXPECT_EQ(refused.status.error().err(), EEXIST);
  EXPECT_TRUE(Parse(Message(RTM_NEWLINK, "x", 1, NLM_F_DUMP_INTR)).interrupted);
  EXPECT_TRUE(Parse(Message(RTM_NEWLINK, "x", 2)).messages.empty()) << "an older question's";
  EXPECT_TRUE(Parse(Message(NLMSG_DONE, "")).done);
  EXPECT_FALSE(Parse({}).done);
}

// What the kernel says is in its own words, when it has any.
TEST(NetlinkTest, TheKernelIsAskedAndExplains) {
  auto socket = NetlinkSocket::Open();
  ASSERT_TRUE(socket.ok()) << socket.error().message();
  NetlinkRequest links(RTM_GETLINK);
  links.Header(ifinfomsg{});
  auto messages = socket->Dump(links);
  ASSERT_TRUE(messages.ok()) << messages.error().message();
  bool loopback = false;
  for (const NetlinkMessage& message : *messages)
    loopback |= message.Attributes<ifinfomsg>()->String(IFLA_IFNAME) == "lo";
  EXPECT_TRUE(loopback);
  NetlinkRequest missing(RTM_GETLINK);
  ifinfomsg header{};
  header.ifi_index = 0x7fffffff;
  missing.Header(header);
  EXPECT_EQ(socket->Do(missing).error().err(), ENODEV);
}

TEST(NetlinkTest, ADumpThatIsInterruptedIsAskedForAgain) {
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
  UniqueFd kernel(fds[0]);
  NetlinkSocket socket{UniqueFd(fds[1])};
  std::thread answers([&] {
    std::array<std::byte, 4096> request;
    for (uint32_t i = 1; i <= 2; ++i) {
      ASSERT_GT(recv(kernel.get(), request.data(), request.size(), 0), 0);
      const auto flags = static_cast<uint16_t>(i == 1 ? NLM_F_DUMP_INTR : 0);
      auto link = Message(RTM_NEWLINK, "link", i, flags);
      auto end = Message(NLMSG_DONE, "", i);
      ASSERT_GT(send(kernel.get(), link.data(), link.size(), 0), 0);
      ASSERT_GT(send(kernel.get(), end.data(), end.size(), 0), 0);
    }
    kernel.Reset();
  });
  auto messages = socket.Dump(NetlinkRequest(RTM_GETLINK));
  answers.join();
  ASSERT_TRUE(messages.ok()) << messages.error().message();
  EXPECT_EQ(messages->size(), 1u);
  EXPECT_FALSE(socket.Do(NetlinkRequest(RTM_GETLINK)).ok()) << "nobody answers any more";
}

}  // namespace
}  // namespace holt::base
