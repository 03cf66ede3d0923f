#include "base/socket.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace holt::base {
namespace {

TEST(SocketTest, LongPathsWorkAndTheSocketIsPrivate) {
  char name[] = "/tmp/holt-socket-test-XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  std::string dir = std::string(name) + "/" + std::string(100, 'd');
  ASSERT_TRUE(std::filesystem::create_directory(dir));
  std::string path = dir + "/s.sock";
  auto listener = ListenUnix(path);
  ASSERT_TRUE(listener.ok()) << listener.error().message();
  struct stat st {};
  ASSERT_EQ(stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
  EXPECT_EQ(AcceptUnix(listener->get()).error().code(), Code::kUnavailable);
  auto client = ConnectUnix(path);
  ASSERT_TRUE(client.ok()) << client.error().message();
  EXPECT_TRUE(AcceptUnix(listener->get()).ok());
  EXPECT_EQ(GetPeerCredentials(client->get())->pid, getpid());
  // A stale socket of a dead process is replaced.
  listener->Reset();
  EXPECT_TRUE(ListenUnix(path).ok());
  std::filesystem::remove_all(name);
}

TEST(SocketTest, PassesFdsAndRefusesTooMany) {
  auto [a, b] = *SocketPair();
  int fds[] = {0, 1};
  ASSERT_TRUE(SendWithFds(a.get(), "x", fds).ok());
  auto message = ReceiveWithFds(b.get(), 16, 2);
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(message->data, "x");
  EXPECT_EQ(message->fds.size(), 2u);
  ASSERT_TRUE(SendWithFds(a.get(), "x", fds).ok());
  EXPECT_EQ(ReceiveWithFds(b.get(), 16, 1).error().code(), Code::kResourceExhausted);
}

}  // namespace
}  // namespace holt::base
