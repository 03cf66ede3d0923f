#include "guest-agent/service/process_list.h"

#include <gmock/gmock.h>
#include <unistd.h>

namespace holt::guest_agent {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kStatus =
    "Name:\tevil) 1 (x\nUmask:\t0022\nPid:\t77\nPPid:\t12\nUid:\t0\t1000\t1000\t1000\n"
    "NSpid:\t77\t5\n";
constexpr std::string_view kStat =
    "77 (evil) 1 (x) S 12 77 77 0 -1 4194304 0 0 0 0 150 50 0 0 20 0 1 0 300 0 0\n";

TEST(ProcessListTest, ReadsTheFields) {
  ProcessInfo info = ParseProcess(77, kStatus, kStat, std::string_view("sh\0-c\0ls  x\0", 12),
                                  1'000'000'000'000, 100);
  EXPECT_EQ(info.pid, 77);
  EXPECT_EQ(info.container_pid, 5);
  EXPECT_EQ(info.parent_pid, 12);
  EXPECT_EQ(info.uid, 1000u) << "the effective one";
  EXPECT_EQ(info.command, "sh -c ls  x");
  EXPECT_EQ(info.cpu_nanos, 2'000'000'000u);
  EXPECT_EQ(info.started_unix_nanos, 1'003'000'000'000);
}

TEST(ProcessListTest, AProcessWithoutArgumentsHasItsName) {
  EXPECT_EQ(ParseProcess(77, kStatus, kStat, "", 0, 100).command, "[evil) 1 (x]");
}

TEST(ProcessListTest, HostileNamesAreTame) {
  ProcessInfo info = ParseProcess(1, kStatus, kStat, "a\033[2J\xff\n", 0, 100);
  EXPECT_EQ(info.command, "a\\x1b[2J\\xff\\x0a");
}

TEST(ProcessListTest, NonsenseDoesNoHarm) {
  for (std::string_view text : {"", "x", "Uid:", "NSpid:\t", "77 (x", ") 1 2"})
    (void)ParseProcess(1, text, text, text, 0, 100);
}

TEST(ProcessListTest, ReadsItself) {
  auto info = ReadProcess(getpid());
  ASSERT_TRUE(info.ok()) << info.error().message();
  EXPECT_EQ(info->parent_pid, getppid());
  EXPECT_EQ(info->uid, geteuid());
  EXPECT_THAT(info->command, HasSubstr("agent_service_test"));
  int64_t now = static_cast<int64_t>(time(nullptr)) * 1'000'000'000;
  EXPECT_NEAR(static_cast<double>(info->started_unix_nanos), static_cast<double>(now), 120e9);
  EXPECT_FALSE(ReadProcess(0x7ffffff).ok());
}

}  // namespace
}  // namespace holt::guest_agent
