#include "vmm/cpu/probe.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "vmm/cpu/probe_child.h"

namespace holt::vmm {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

class ProbeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "/probe-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    dir_ = name;
    ASSERT_EQ(chmod(dir_.c_str(), 0755), 0);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::string dir_;
};

TEST_F(ProbeTest, NoDevice) {
  KvmProbe probe = ProbeKvm({.device = dir_ + "/kvm"});
  EXPECT_EQ(probe.state, KvmState::kNoDevice);
  EXPECT_THAT(probe.text, HasSubstr("there is no " + dir_ + "/kvm"));
}

TEST_F(ProbeTest, NoPermission) {
  ASSERT_TRUE(base::WriteFile(dir_ + "/kvm", "", 0).ok());
  ASSERT_EQ(chmod((dir_ + "/kvm").c_str(), 0), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    // root may open anything
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0) _exit(99);
    _exit(static_cast<int>(ProbeKvm({.device = dir_ + "/kvm"}).state));
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(WEXITSTATUS(status), static_cast<int>(KvmState::kNoPermission));
}

TEST_F(ProbeTest, WhatIsNotKvmFailsAndSaysWhere) {
  KvmProbe probe = ProbeKvm({.device = "/dev/null"});
  EXPECT_EQ(probe.state, KvmState::kFails);
  EXPECT_THAT(probe.text, HasSubstr("KVM_GET_API_VERSION"));
}

TEST_F(ProbeTest, AnswerOfAFailureIsNotKept) {
  ProbeKvm({.device = "/dev/null", .cache_file = dir_ + "/cache"});
  EXPECT_FALSE(base::PathExists(dir_ + "/cache"));
}

TEST_F(ProbeTest, AGuestThatNeverComesBackIsKilledAtTheDeadline) {
  const auto begin = std::chrono::steady_clock::now();
  auto result = RunBounded(
      [](int) -> ProbeResult {
        while (true) pause();
      },
      -1, milliseconds(50));
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(result.error().message(), HasSubstr("did not finish in 50 ms"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(1000));
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
}

TEST_F(ProbeTest, AGuestThatDiesIsNoAnswer) {
  EXPECT_FALSE(RunBounded([](int) -> ProbeResult { _exit(0); }, -1, milliseconds(2000)).ok());
}

// The first words of the cache's content for /dev/null, as a probe would have written it.
std::string KeyOfDevNull() {
  struct stat status {};
  EXPECT_EQ(stat("/dev/null", &status), 0);
  std::string boot = *base::ReadFile("/proc/sys/kernel/random/boot_id");
  boot.pop_back();
  return fmt::format("holt-kvm-probe-1 {} {}:{}:{}", boot, status.st_rdev, status.st_ino,
                     status.st_ctim.tv_sec);
}

TEST_F(ProbeTest, AKeptAnswerIsTaken) {
  const std::string cache = dir_ + "/cache";
  ASSERT_TRUE(base::WriteFile(cache, KeyOfDevNull() + " 1000000\n").ok());
  KvmProbe probe = ProbeKvm({.device = "/dev/null", .cache_file = cache});
  EXPECT_TRUE(probe.usable());
  EXPECT_TRUE(probe.from_cache);
  ASSERT_TRUE(base::WriteFile(cache, KeyOfDevNull() + " 900000000\n").ok());
  EXPECT_EQ(ProbeKvm({.device = "/dev/null", .cache_file = cache}).state, KvmState::kTooSlow);
}

TEST_F(ProbeTest, AHostileCacheIsIgnored) {
  const std::string cache = dir_ + "/cache";
  const std::string key = KeyOfDevNull();
  auto state = [&] { return ProbeKvm({.device = "/dev/null", .cache_file = cache}).state; };
  for (const std::string& text : std::vector<std::string>{
           std::string(), key, key + " ", key + " 1", key + " 1x\n", key + " 0\n", key + " -1\n",
           key + " 99999999999999999999\n", key + " 1\n2\n",
           std::string("holt-kvm-probe-1 another-boot 0:0:0 1000\n"), std::string(100000, 'x')}) {
    ASSERT_TRUE(base::WriteFile(cache, text).ok());
    EXPECT_EQ(state(), KvmState::kFails) << text.substr(0, 100);
  }
  const std::string good = key + " 1000000\n";
  ASSERT_TRUE(base::WriteFile(cache, good).ok());
  ASSERT_EQ(chmod(cache.c_str(), 0666), 0);
  EXPECT_EQ(state(), KvmState::kFails) << "others can write it";
  ASSERT_EQ(chmod(cache.c_str(), 0644), 0);
  EXPECT_EQ(state(), KvmState::kUsable);
  ASSERT_EQ(rename(cache.c_str(), (dir_ + "/elsewhere").c_str()), 0);
  ASSERT_EQ(symlink((dir_ + "/elsewhere").c_str(), cache.c_str()), 0);
  EXPECT_EQ(state(), KvmState::kFails) << "a symlink";
  ASSERT_EQ(unlink(cache.c_str()), 0);
  ASSERT_EQ(mkfifo(cache.c_str(), 0600), 0);
  EXPECT_EQ(state(), KvmState::kFails) << "a FIFO";
}

}  // namespace
}  // namespace holt::vmm
