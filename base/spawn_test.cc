#include "base/spawn.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/unique_fd.h"

namespace holt::base {
namespace {

std::string RunShell(SpawnOptions options, const std::string& script) {
  int fds[2];
  EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0);
  UniqueFd read_end(fds[0]);
  UniqueFd write_end(fds[1]);
  options.argv = {"/bin/sh", "-c", script};
  options.fds.emplace_back(write_end.get(), 1);
  auto pid = Spawn(options);
  EXPECT_TRUE(pid.ok()) << pid.error().message();
  write_end.Reset();
  std::string out = *ReadFd(read_end.get(), 1 << 20);
  int status;
  EXPECT_EQ(waitpid(*pid, &status, 0), *pid);
  return out;
}

TEST(SpawnTest, OnlyNamedFdsAndEnvironmentReachTheProgram) {
  // Neither CLOEXEC nor named: must not leak.
  int leak = open("/dev/null", O_RDONLY);
  ASSERT_GE(leak, 3);
  EXPECT_EQ(RunShell({.environment = {"A=b"}},
                     fmt::format("[ -e /proc/$$/fd/{} ] && echo leaked || echo clean", leak)),
            "clean\n");
  EXPECT_EQ(RunShell({.environment = {"A=b"}}, "echo $A$HOME"), "b\n");
  close(leak);
}

TEST(SpawnTest, FdsMaySwapNumbers) {
  char one[] = "/tmp/holt-spawn-1-XXXXXX";
  char two[] = "/tmp/holt-spawn-2-XXXXXX";
  UniqueFd a(mkostemp(one, O_CLOEXEC));
  UniqueFd b(mkostemp(two, O_CLOEXEC));
  ASSERT_TRUE(WriteFile(one, "one").ok());
  ASSERT_TRUE(WriteFile(two, "two").ok());
  SpawnOptions options;
  options.fds = {{a.get(), b.get()}, {b.get(), a.get()}};
  EXPECT_EQ(RunShell(options, fmt::format("cat <&{}; cat <&{}", a.get(), b.get())), "twoone");
  unlink(one);
  unlink(two);
}

TEST(SpawnTest, ErrorsNameTheStep) {
  EXPECT_EQ(Spawn({.argv = {"/no/such"}}).error().message(),
            "start /no/such: exec: No such file or directory");
  EXPECT_EQ(Spawn({.argv = {"/bin/true"}, .working_directory = "/no/such"}).error().message(),
            "start /bin/true: chdir: No such file or directory");
}

TEST(SpawnTest, AnInitHasNoParentToDieWith) {
  auto refused =
      Spawn({.argv = {"/bin/true"}, .parent_death_signal = SIGKILL, .new_pid_namespace = true});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kInvalidArgument);
}

TEST(SpawnTest, WaitStatusTexts) {
  EXPECT_EQ(DescribeWaitStatus(3 << 8), "exited with status 3");
  EXPECT_EQ(DescribeWaitStatus(SIGKILL), "killed by signal 9 (Killed)");
  EXPECT_EQ(ExitCodeFromWaitStatus(SIGKILL), 137);
}

}  // namespace
}  // namespace holt::base
