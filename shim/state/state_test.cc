#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "shim/state/boot_turn.h"
#include "shim/state/process_identity.h"
#include "shim/state/record.h"
#include "shim/state/uid_lease.h"

namespace holt::shim {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

pid_t Sleeper() {
  pid_t pid = fork();
  if (pid == 0) {
    pause();
    _exit(0);
  }
  return pid;
}

TEST(ProcessIdentityTest, KillsThatProcessOnly) {
  pid_t pid = Sleeper();
  auto process = IdentifyProcess(pid, "sleeper");
  ASSERT_TRUE(process.ok()) << process.error().message();
  ProcessIdentity other = *process;
  other.start_ticks += 1;
  EXPECT_TRUE(KillProcess(other, 1s).ok());
  int status = 0;
  usleep(50'000);
  EXPECT_EQ(waitpid(pid, &status, WNOHANG), 0)
      << "a process with the pid of one that is gone was killed";
  EXPECT_TRUE(KillProcess(*process, 5s).ok());
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_TRUE(KillProcess(*process, 1s).ok()) << "gone is what was wanted";
}

TEST(ProcessIdentityTest, ANameWithSpacesAndParenthesesIsNoTrap) {
  std::string directory = ::testing::TempDir() + "holt-comm-XXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  std::filesystem::copy_file("/bin/sleep", directory + "/a) S 1 (b");
  pid_t pid = fork();
  if (pid == 0) {
    execl((directory + "/a) S 1 (b").c_str(), "sleep", "100", nullptr);
    _exit(1);
  }
  usleep(100'000);
  auto odd = IdentifyProcess(pid, "odd");
  auto self = IdentifyProcess(getpid(), "self");
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  std::filesystem::remove_all(directory);
  ASSERT_TRUE(odd.ok());
  EXPECT_GE(odd->start_ticks, self->start_ticks);
  EXPECT_LT(odd->start_ticks, self->start_ticks + 100000);
}

TEST(ProcessIdentityTest, NobodyIsNotFound) {
  pid_t pid = Sleeper();
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  EXPECT_EQ(IdentifyProcess(pid, "x").error().code(), base::Code::kNotFound);
}

TEST(BootTurnTest, ThereAreAsManyAsPlaces) {
  const std::string file = testing::TempDir() + "/boots." + std::to_string(getpid());
  auto first = BootTurn::Try(file, 2);
  auto second = BootTurn::Try(file, 2);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_TRUE(first->has_value());
  EXPECT_TRUE(second->has_value());
  EXPECT_FALSE(BootTurn::Try(file, 2)->has_value());
  first->reset();
  EXPECT_TRUE(BootTurn::Try(file, 2)->has_value());
  // And again, since that one was given back at once.
  EXPECT_TRUE(BootTurn::Try(file, 2)->has_value());
  unlink(file.c_str());
}

class UidLeaseTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "holt-uids-XXXXXX";
    UniqueFile(name);
  }
  void TearDown() override { unlink(file_.c_str()); }
  void UniqueFile(std::string name) {
    int fd = mkstemp(name.data());
    ASSERT_GE(fd, 0);
    close(fd);
    file_ = name;
  }
  std::string file_;
};

TEST_F(UidLeaseTest, NobodyHasTheSame) {
  std::vector<UidLease> leases;
  std::set<uid_t> seen;
  for (int i = 0; i < 100; ++i) {
    auto lease = UidLease::Take(file_);
    if (!lease) GTEST_SKIP() << lease.error().message();
    EXPECT_TRUE(seen.insert(lease->uid()).second);
    EXPECT_GE(lease->uid(), UidLease::kFirst);
    EXPECT_LT(lease->uid(), UidLease::kFirst + UidLease::kCount);
    leases.push_back(std::move(*lease));
  }
}

TEST_F(UidLeaseTest, ADeadHoldersIdIsFree) {
  auto lease = UidLease::Take(file_);
  if (!lease) GTEST_SKIP() << lease.error().message();
  uid_t uid = lease->uid();
  EXPECT_EQ(UidLease::TakeThis(uid, file_).error().code(), base::Code::kFailedPrecondition);
  pid_t holder = Sleeper();  // inherits it
  *lease = UidLease();
  EXPECT_FALSE(UidLease::TakeThis(uid, file_).ok());
  kill(holder, SIGKILL);
  waitpid(holder, nullptr, 0);
  EXPECT_TRUE(UidLease::TakeThis(uid, file_).ok());
}

TEST_F(UidLeaseTest, OnlyIdsOfTheRange) {
  for (uid_t uid : {0u, 1000u, 65534u, UidLease::kFirst - 1, UidLease::kFirst + UidLease::kCount})
    EXPECT_EQ(UidLease::TakeThis(uid, file_).error().code(), base::Code::kInvalidArgument) << uid;
}

TEST(RecordTest, ComesBackAsItWas) {
  Record record;
  record.id = "a";
  record.name = "web";
  record.status = "running";
  record.pid = 12;
  record.exit_status = 3;
  record.oom_killed = true;
  record.error = "because \"it\"\n";
  record.created_unix_nanos = 1'700'000'000'123'456'789;
  record.annotations = {{"k", "v"}};
  record.processes = {{"holt-vmm", 7, 99}};
  record.uid = UidLease::kFirst + 5;
  auto back = ParseRecord(SerializeRecord(record));
  ASSERT_TRUE(back.ok()) << back.error().message();
  EXPECT_EQ(SerializeRecord(*back), SerializeRecord(record));
  EXPECT_EQ(back->processes.at(0).start_ticks, 99u);
  EXPECT_EQ(back->created_unix_nanos, record.created_unix_nanos);

  Request request;
  request.id = "a";
  request.memory_bytes = 256 << 20;
  request.stdin_open = true;
  request.start_deadline_ms = 5;
  auto request_back = ParseRequest(SerializeRequest(request));
  ASSERT_TRUE(request_back.ok());
  EXPECT_EQ(SerializeRequest(*request_back), SerializeRequest(request));
}

TEST(RecordTest, TimesAreRfc3339) {
  EXPECT_EQ(FormatTime(0), "");
  EXPECT_EQ(FormatTime(1'714'979'289'123'456'789), "2024-05-06T07:08:09.123456789Z");
}

}  // namespace
}  // namespace holt::shim
