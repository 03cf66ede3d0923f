#include "guest-agent/init/boot.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

#include "guest-agent/init/ready.h"
#include "guest-agent/init/reaper.h"
#include "guest-agent/init/tables.h"

namespace holt::guest_agent {
namespace {

using ::testing::HasSubstr;

TEST(TablesTest, ParentsAreMountedBeforeTheirChildren) {
  std::set<std::string> before;
  for (const BaseMount& entry : kBaseMounts) {
    std::string target = entry.target;
    EXPECT_TRUE(target.starts_with('/')) << target;
    for (const std::string& other : before)
      EXPECT_FALSE(other.starts_with(target + "/")) << other << " would be covered by " << target;
    EXPECT_TRUE(before.insert(target).second) << target << " is there twice";
  }
  for (const char* needed : {"/proc", "/sys/fs/cgroup", "/dev", "/run"})
    EXPECT_TRUE(before.contains(needed)) << needed;
  EXPECT_THAT(std::string(kContainersCgroup), ::testing::StartsWith(kCgroupRoot));
}

TEST(TablesTest, OnlyTheDevicesOfTheAgentAreDevices) {
  for (const BaseMount& entry : kBaseMounts) {
    EXPECT_NE(entry.flags & MS_NOSUID, 0u) << entry.target;
    if (!std::string(entry.target).starts_with("/dev")) {
      EXPECT_NE(entry.flags & MS_NODEV, 0u) << entry.target;
    }
  }
}

TEST(CommandLineTest, TheLastValueCounts) {
  constexpr char kLine[] = "console=hvc0 holt.share=a quiet holt.shared=no holt.share=b\n";
  EXPECT_EQ(CommandLineValue(kLine, "holt.share", "x"), "b");
  EXPECT_EQ(CommandLineValue(kLine, "quiet", "x"), "x");
  EXPECT_EQ(CommandLineValue("", "quiet", "x"), "x");
  EXPECT_EQ(CommandLineValue("a= b=1", "a", "x"), "");
}

TEST(ReadyTest, OneLineOfJson) {
  EXPECT_EQ(ReadyLine("1.2", 345), "{\"ready\":true,\"version\":\"1.2\",\"boot_us\":345}\n");
  std::string failure = FailureLine("mount \"x\":\nno\xff");
  EXPECT_EQ(failure.find('\n'), failure.size() - 1);
  EXPECT_THAT(failure, HasSubstr("\"ready\":false"));
  EXPECT_LT(FailureLine(std::string(100000, '\x01')).size(), 4096u);
}

TEST(ReaperTest, TellsWhoAskedAndTakesOrphansToo) {
  auto loop = *base::EventLoop::Create();
  Reaper reaper(*loop);
  ASSERT_TRUE(reaper.Start().ok());
  pid_t watched = fork();
  if (watched == 0) _exit(7);
  pid_t orphan = fork();
  if (orphan == 0) _exit(0);
  int status = -1;
  reaper.Watch(watched, [&](int wait_status) { status = wait_status; });
  for (int i = 0; i < 200 && (status < 0 || kill(orphan, 0) == 0); ++i)
    loop->RunOnce(std::chrono::milliseconds(10));
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_EQ(waitpid(orphan, nullptr, WNOHANG), -1) << "already reaped";
}

}  // namespace
}  // namespace holt::guest_agent
