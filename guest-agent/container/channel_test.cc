#include "guest-agent/container/channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

namespace holt::guest_agent {
namespace {

TEST(ChannelTest, CarriesMessagesAndADescriptor) {
  Channel channel = *MakeChannel();
  EXPECT_TRUE(Receive(channel.agent.get()).empty);
  SendMessage(channel.child.get(), ChannelMessage::Make(ChannelKind::kWarning, "careful"));
  base::UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  SendMessage(channel.child.get(), ChannelMessage::Make(ChannelKind::kPty), null.get());
  Received first = Receive(channel.agent.get());
  EXPECT_EQ(first.message.kind, ChannelKind::kWarning);
  EXPECT_STREQ(first.message.text, "careful");
  EXPECT_FALSE(first.fd);
  Received second = Receive(channel.agent.get());
  EXPECT_EQ(second.message.kind, ChannelKind::kPty);
  EXPECT_TRUE(second.fd);
  EXPECT_EQ(fcntl(second.fd.get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  channel.child.Reset();
  EXPECT_TRUE(Receive(channel.agent.get()).closed);
}

TEST(ChannelTest, ErrorsComeBackWhole) {
  ChannelMessage message =
      ChannelMessage::Failed(base::Error(base::Code::kNotFound, std::string(5000, 'x'), ENOENT));
  base::Error error = message.ToError();
  EXPECT_EQ(error.code(), base::Code::kNotFound);
  EXPECT_EQ(error.err(), ENOENT);
  EXPECT_EQ(error.message(), std::string(1011, 'x'));
}

TEST(ChannelTest, NonsenseIsNotBelieved) {
  ChannelMessage message{};
  message.kind = ChannelKind::kFailed;
  message.code = 12345;
  memset(message.text, 'y', sizeof message.text);  // without an end
  EXPECT_EQ(message.ToError().code(), base::Code::kInternal);
  EXPECT_EQ(message.ToError().message().size(), sizeof message.text);
  // A message of another size is the end of the conversation.
  Channel channel = *MakeChannel();
  ASSERT_EQ(send(channel.child.get(), "short", 5, 0), 5);
  EXPECT_TRUE(Receive(channel.agent.get()).closed);
}

TEST(ChannelTest, GoOrNot) {
  Channel channel = *MakeChannel();
  ASSERT_TRUE(SendGo(channel.agent.get()).ok());
  EXPECT_TRUE(AwaitGo(channel.child.get()));
  channel.agent.Reset();
  EXPECT_FALSE(AwaitGo(channel.child.get()));
}

TEST(ChannelTest, AFailureIsHeardAlthoughTheGoWasNotRead) {
  Channel channel = *MakeChannel();
  ASSERT_TRUE(SendGo(channel.agent.get()).ok());
  SendMessage(channel.child.get(),
              ChannelMessage::Failed(base::Error(base::Code::kNotFound, "no such user")));
  channel.child.Reset();
  Received received = Receive(channel.agent.get());
  ASSERT_FALSE(received.closed);
  EXPECT_EQ(received.message.ToError().message(), "no such user");
  EXPECT_TRUE(Receive(channel.agent.get()).closed);
}

TEST(ChannelTest, AFailureIsHeardAlthoughTheGoCannotBeSent) {
  Channel channel = *MakeChannel();
  SendMessage(channel.child.get(),
              ChannelMessage::Failed(base::Error(base::Code::kNotFound, "no such user")));
  channel.child.Reset();
  EXPECT_FALSE(SendGo(channel.agent.get()).ok());
  EXPECT_EQ(Receive(channel.agent.get()).message.ToError().message(), "no such user");
  EXPECT_TRUE(Receive(channel.agent.get()).closed);
}

}  // namespace
}  // namespace holt::guest_agent
