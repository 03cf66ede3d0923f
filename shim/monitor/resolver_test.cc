#include "shim/monitor/resolver.h"

#include <gtest/gtest.h>

#include "base/file.h"

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
  config.mounts[0].source = "c/mounts/0";
  EXPECT_TRUE(UsesDockersResolver(config, share));
  EXPECT_TRUE(base::RemoveTree(share).ok());
}

}  // namespace
}  // namespace holt::shim
