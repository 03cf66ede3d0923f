#include "shim/state/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "base/file.h"

namespace holt::shim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RegistryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "holt-registry-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  // A published sandbox with a request; the lock is in the NewSandbox.
  base::Result<NewSandbox> Make(const std::string& id, const std::string& name = "") {
    TRY_ASSIGN(NewSandbox sandbox, Registry(root_).Begin(id, name));
    Request request;
    request.id = id;
    request.name = name;
    TRY(base::WriteFile(sandbox.directory() + "/request.json", SerializeRequest(request)));
    TRY(sandbox.Publish());
    return sandbox;
  }

  // Runs `body` in a process that then waits to be killed; returns when body is done.
  template <typename F>
  pid_t Holder(F body) {
    int fds[2];
    EXPECT_EQ(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
      body();
      if (write(fds[1], "x", 1) != 1) _exit(1);
      pause();
      _exit(0);
    }
    close(fds[1]);
    char c;
    EXPECT_EQ(read(fds[0], &c, 1), 1);
    close(fds[0]);
    return pid;
  }
  static void KillNow(pid_t pid) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }

  std::string root_;
};

TEST_F(RegistryTest, WhatIsNotPublishedIsNotSeenAndGoesAway) {
  {
    auto sandbox = Registry(root_).Begin("a", "");
    ASSERT_TRUE(sandbox.ok()) << sandbox.error().message();
    EXPECT_THAT(Registry(root_).List(), IsEmpty());
    EXPECT_THAT(Registry(root_).StaleDirectories(), IsEmpty());
  }
  EXPECT_TRUE(std::filesystem::is_empty(root_));
}

TEST_F(RegistryTest, AliveAsLongAsTheLockIsHeld) {
  auto sandbox = Make("a", "web");
  ASSERT_TRUE(sandbox.ok()) << sandbox.error().message();
  auto found = Registry(root_).Find("web");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->record.id, "a");
  EXPECT_TRUE(found->alive);
  EXPECT_EQ(found->record.status, "creating");
  EXPECT_FALSE(Registry::LockDead(found->paths).ok());
  sandbox->TakeLock();
  found = Registry(root_).Find("a");
  ASSERT_TRUE(found.ok());
  EXPECT_FALSE(found->alive);
  EXPECT_TRUE(found->cut_off);
  EXPECT_EQ(found->record.status, "stopped");
  EXPECT_THAT(found->record.error, HasSubstr("its monitor died"));
}

TEST_F(RegistryTest, ARecordOfADeadMonitorIsNotBelieved) {
  auto sandbox = Make("a");
  ASSERT_TRUE(sandbox.ok());
  Record record;
  record.id = "a";
  record.status = "running";
  record.pid = 4711;
  ASSERT_TRUE(WriteRecord(PathsOf(root_, "a").State(), record).ok());
  EXPECT_EQ(Registry(root_).Find("a")->record.status, "running");
  sandbox->TakeLock();
  auto found = Registry(root_).Find("a");
  EXPECT_EQ(found->record.status, "stopped");
  EXPECT_EQ(found->record.exit_status, 137);
  EXPECT_EQ(found->record.pid, 0);
  EXPECT_FALSE(found->cut_off);
}

TEST_F(RegistryTest, IdsAndNamesAreTakenOnce) {
  auto first = Make("a", "web");
  ASSERT_TRUE(first.ok());
  EXPECT_THAT(Make("a").error().message(), HasSubstr("already exists"));
  EXPECT_THAT(Make("b", "web").error().message(), HasSubstr("in use by container a"));
  EXPECT_THAT(Make("web").error().message(), HasSubstr("already exists"));
  EXPECT_THAT(Make("b", "a").error().message(), HasSubstr("in use by container a"));
  EXPECT_EQ(Registry(root_).List().size(), 1u);
}

TEST_F(RegistryTest, IdsAreNeverPaths) {
  for (const char* id : {"", ".", "..", "../x", "a/b", ".hidden", "-x", "a b", "a\nb", "\xff"})
    EXPECT_FALSE(Registry(root_).Begin(id, "").ok()) << id;
  EXPECT_FALSE(Registry(root_).Begin(std::string(129, 'a'), "").ok());
  EXPECT_TRUE(Registry(root_).Begin(std::string(128, 'a'), "").ok());
  EXPECT_THAT(Registry(root_).Find("../etc").error().message(), HasSubstr("container id"));
}

TEST_F(RegistryTest, ABeginningOfAnIdIsEnoughIfItIsOne) {
  auto a = Make("abcd1");
  auto b = Make("abcd2");
  EXPECT_EQ(Registry(root_).Find("abcd2")->record.id, "abcd2");
  EXPECT_THAT(Registry(root_).Find("abcd").error().message(), HasSubstr("beginning of 2"));
  EXPECT_THAT(Registry(root_).Find("abc").error().message(), HasSubstr("does not exist"));
}

TEST_F(RegistryTest, OfManyAtOnceOneGetsTheId) {
  constexpr int kProcesses = 8;
  std::vector<pid_t> pids;
  int go[2];
  ASSERT_EQ(pipe(go), 0);
  for (int i = 0; i < kProcesses; ++i) {
    pid_t pid = fork();
    if (pid == 0) {
      close(go[1]);
      char c;
      if (read(go[0], &c, 1) < 0) _exit(9);
      auto sandbox = Make("same");
      if (!sandbox) _exit(sandbox.error().code() == base::Code::kAlreadyExists ? 1 : 2);
      usleep(200'000);
      _exit(0);
    }
    pids.push_back(pid);
  }
  close(go[0]);
  close(go[1]);
  int made = 0;
  int refused = 0;
  for (pid_t pid : pids) {
    int status = 0;
    waitpid(pid, &status, 0);
    made += WEXITSTATUS(status) == 0;
    refused += WEXITSTATUS(status) == 1;
  }
  EXPECT_EQ(made, 1);
  EXPECT_EQ(refused, kProcesses - 1);
}

TEST_F(RegistryTest, LookingDoesNotDisturbWhoMakes) {
  // A look that took the lock for a moment would make Begin and LockDead fail now and then.
  std::atomic<bool> stop = false;
  std::thread looker([&] {
    while (!stop) {
      (void)Registry(root_).List();
      (void)Registry(root_).StaleDirectories();
    }
  });
  for (int i = 0; i < 300; ++i) {
    auto sandbox = Make("a");
    ASSERT_TRUE(sandbox.ok()) << i << ": " << sandbox.error().message();
    sandbox->TakeLock();
    auto lock = Registry::LockDead(PathsOf(root_, "a"));
    ASSERT_TRUE(lock.ok()) << i << ": " << lock.error().message();
    ASSERT_TRUE(base::RemoveTree(PathsOf(root_, "a").directory).ok());
  }
  stop = true;
  looker.join();
}

TEST_F(RegistryTest, KilledMakersLeaveStaleDirectoriesOnly) {
  pid_t pid = Holder([&] { new base::Result<NewSandbox>(Registry(root_).Begin("a", "")); });
  EXPECT_THAT(Registry(root_).StaleDirectories(), IsEmpty()) << "its maker is alive";
  KillNow(pid);
  auto stale = Registry(root_).StaleDirectories();
  ASSERT_EQ(stale.size(), 1u);
  EXPECT_THAT(Registry(root_).List(), IsEmpty());
  EXPECT_TRUE(Make("a").ok());
}

TEST_F(RegistryTest, AKilledHolderIsDeadAtOnce) {
  pid_t pid = Holder([&] { new base::Result<NewSandbox>(Make("a")); });
  SandboxPaths paths = PathsOf(root_, "a");
  EXPECT_TRUE(Registry(root_).Find("a")->alive);
  EXPECT_EQ(Registry::WaitUntilDead(paths, std::chrono::milliseconds(30)).error().code(),
            base::Code::kDeadlineExceeded);
  KillNow(pid);
  EXPECT_TRUE(Registry::WaitUntilDead(paths, std::chrono::milliseconds(0)).ok());
  EXPECT_FALSE(Registry(root_).Find("a")->alive);
}

TEST_F(RegistryTest, AChildThatInheritedTheLockHoldsIt) {
  auto sandbox = Make("a");
  ASSERT_TRUE(sandbox.ok());
  pid_t pid = Holder([] {});
  sandbox->TakeLock();
  EXPECT_TRUE(Registry(root_).Find("a")->alive);
  KillNow(pid);
  EXPECT_FALSE(Registry(root_).Find("a")->alive);
}

TEST_F(RegistryTest, TheLockOfARemovedSandboxIsNotItsSuccessors) {
  auto sandbox = Make("a");
  sandbox->TakeLock();
  SandboxPaths paths = PathsOf(root_, "a");
  ASSERT_TRUE(base::RemoveTree(paths.directory).ok());
  EXPECT_EQ(Registry::LockDead(paths).error().code(), base::Code::kNotFound);
  EXPECT_TRUE(Registry::WaitUntilDead(paths, std::chrono::milliseconds(0)).ok());
}

TEST_F(RegistryTest, WhoHasTheLockHasTheDirectory) {
  // Removers and makers of the same id at once: a lock that was won on a file that is gone from its
  // place must not count.
  SandboxPaths paths = PathsOf(root_, "a");
  std::atomic<int> wrong = 0;
  auto work = [&] {
    for (int i = 0; i < 1500; ++i) {
      auto lock = Registry::LockDead(paths);
      if (lock) {
        struct stat held {};
        struct stat named {};
        if (fstat(lock->get(), &held) != 0 || stat(paths.Lock().c_str(), &named) != 0 ||
            held.st_ino != named.st_ino)
          ++wrong;
        (void)base::RemoveTree(paths.directory);
      } else if (auto made = Make("a"); made) {
        made->TakeLock();
      }
    }
  };
  std::thread first(work);
  std::thread second(work);
  std::thread third(work);
  first.join();
  second.join();
  third.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(RegistryTest, DamagedFilesAreNoCrash) {
  auto sandbox = Make("a");
  for (const char* text :
       {"", "{", "[]", "{\"status\": 3}", "{\"processes\": [{\"pid\": \"x\"}]}", "\xff\xfe"}) {
    ASSERT_TRUE(base::WriteFile(PathsOf(root_, "a").State(), text).ok());
    auto found = Registry(root_).Find("a");
    if (!found) continue;
    EXPECT_EQ(found->record.id, "") << text;
  }
}

}  // namespace
}  // namespace holt::shim
