#include "guest-agent/container/sysctl.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include "base/file.h"

namespace holt::guest_agent {
namespace {

using ::testing::HasSubstr;

TEST(SysctlPathTest, TheFirstSeparatorIsTheSeparator) {
  EXPECT_EQ(SysctlPath("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
  EXPECT_EQ(SysctlPath("net/ipv4/conf/eth0.1/forwarding"), "net/ipv4/conf/eth0.1/forwarding");
  EXPECT_EQ(SysctlPath("net.ipv4.conf.eth0/1.forwarding"), "net/ipv4/conf/eth0.1/forwarding");
  EXPECT_EQ(SysctlPath("plain"), "plain");
}

TEST(WriteSysctlsTest, StaysBelowSys) {
  std::string proc = testing::TempDir() + "/sysctl_test";
  ASSERT_TRUE(base::RemoveTree(proc).ok());
  ASSERT_TRUE(base::MakeDirs(proc + "/sys/net").ok());
  ASSERT_TRUE(base::WriteFile(proc + "/sys/net/x", "0").ok());
  ASSERT_TRUE(base::WriteFile(proc + "/secret", "0").ok());
  ASSERT_EQ(symlink("../../secret", (proc + "/sys/net/link").c_str()), 0);
  auto fd = base::Open(proc, O_PATH | O_DIRECTORY);
  ASSERT_TRUE(fd.ok());
  EXPECT_TRUE(WriteSysctls(fd->get(), {{"net.x", "7"}}).ok());
  EXPECT_EQ(*base::ReadFile(proc + "/sys/net/x"), "7");
  for (const char* name : {"net/../../secret", "net.link", "/secret", "net.none"}) {
    auto status = WriteSysctls(fd->get(), {{name, "7"}});
    ASSERT_FALSE(status.ok()) << name;
    EXPECT_THAT(status.error().message(), HasSubstr(std::string("linux.sysctl[\"") + name));
  }
  EXPECT_EQ(*base::ReadFile(proc + "/secret"), "0");
  ASSERT_TRUE(base::RemoveTree(proc).ok());
}

}  // namespace
}  // namespace holt::guest_agent
