#include "shim/monitor/resolver.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

#include "base/file.h"
#include "base/socket.h"

namespace holt::shim {
namespace {

TEST(ResolverTest, DockersIsKnownByItsAddress) {
  EXPECT_TRUE(NamesDockersResolver("nameserver 127.0.0.11\noptions ndots:0\n"));
  EXPECT_TRUE(NamesDockersResolver("search a\nnameserver 10.0.0.1\n\tnameserver\t127.0.0.11"));
  EXPECT_FALSE(NamesDockersResolver("# nameserver 127.0.0.11\n#nameserver 127.0.0.11\n"));
  EXPECT_FALSE(NamesDockersResolver("nameserver 127.0.0.1\nnameserver 127.0.0.111\n"));
  EXPECT_FALSE(NamesDockersResolver("nameserver\n127.0.0.11\n"));
  EXPECT_FALSE(NamesDockersResolver(""));
}

TEST(ResolverTest, OnlyTheEnginesFileIsAsked) {
  const std::string share = ::testing::TempDir() + "/resolver-share";
  ASSERT_TRUE(base::MakeDirs(share + "/c/mounts").ok());
  ASSERT_TRUE(base::WriteFile(share + "/c/mounts/0", "nameserver 127.0.0.11\n").ok());
  oci::Config config;
  EXPECT_FALSE(UsesDockersResolver(config, share));
  config.mounts.resize(1);
  config.mounts[0].destination = "/etc/resolv.conf";
  config.mounts[0].source = "c/mounts/1";
  EXPECT_FALSE(UsesDockersResolver(config, share)) << "gone";
  ASSERT_EQ(mkfifo((share + "/c/mounts/2").c_str(), 0600), 0);
  config.mounts[0].source = "c/mounts/2";
  EXPECT_FALSE(UsesDockersResolver(config, share)) << "and not waited for";
  config.mounts[0].source = "c/mounts/0";
  EXPECT_TRUE(UsesDockersResolver(config, share));
  EXPECT_TRUE(base::RemoveTree(share).ok());
}

// Each that goes on holds two descriptors of the monitor's for as long as half a minute.
TEST(ResolverTest, OnlySoManyAreServedAtOnce) {
  if (geteuid() != 0) GTEST_SKIP() << "joins a network namespace: needs root";
  const std::string directory = ::testing::TempDir() + "/resolver-many";
  ASSERT_TRUE(base::MakeDirs(directory).ok());
  auto loop = *base::EventLoop::Create();
  auto network = *base::Open("/proc/thread-self/ns/net", O_RDONLY);
  auto resolver = *Resolver::Start(*loop, *base::ListenUnix(directory + "/udp", 256),
                                   *base::ListenUnix(directory + "/tcp", 256), network.get());
  std::vector<base::UniqueFd> guests;
  for (size_t i = 0; i < Resolver::kMaxAtOnce + 50; ++i) {
    guests.push_back(*base::ConnectUnix(directory + "/udp", SOCK_NONBLOCK));
    loop->RunOnce(std::chrono::milliseconds(50));
  }
  size_t turned_away = 0;
  for (const base::UniqueFd& guest : guests) {
    char byte;
    if (recv(guest.get(), &byte, 1, MSG_DONTWAIT) == 0) ++turned_away;
  }
  EXPECT_EQ(turned_away, 50u);
  resolver.reset();
  EXPECT_TRUE(base::RemoveTree(directory).ok());
}

}  // namespace
}  // namespace holt::shim
