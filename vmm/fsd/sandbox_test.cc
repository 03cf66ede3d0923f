// The part of the sandbox that needs no root: the filter. The rest is looked at on the process as
// it runs, in tests/security/machine_test.cc.
#include "vmm/fsd/sandbox.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "base/file.h"
#include "vmm/fsd/slow_lane.h"

namespace holt::fsd {
namespace {

using ::testing::HasSubstr;

// A child with the file server's second thread, that installs the filter, says so, and on a byte
// runs `action`.
class Filtered {
 public:
  explicit Filtered(const std::function<void()>& action) {
    int pair[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid_ = fork();
    if (pid_ == 0) {
      close(pair[0]);
      SlowLane slow;
      char ready = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && InstallSeccomp().ok();
      if (write(pair[1], &ready, 1) != 1 || read(pair[1], &ready, 1) != 1) _exit(9);
      action();
      _exit(0);
    }
    close(pair[1]);
    socket_ = pair[0];
    char ready = 0;
    EXPECT_EQ(read(socket_, &ready, 1), 1);
    EXPECT_EQ(ready, 1);
  }
  // Lets the action run; the wait status.
  int Finish() {
    EXPECT_EQ(write(socket_, "x", 1), 1);
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    close(socket_);
    return status;
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int socket_ = -1;
};

TEST(FsdSeccomp, FilterIsOnEveryThread) {
  Filtered child([] {});
  int threads = 0;
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/" + std::to_string(child.pid()) + "/task")) {
    auto status = base::ReadFile(task.path().string() + "/status");
    ASSERT_TRUE(status.ok());
    EXPECT_THAT(*status, HasSubstr("\nSeccomp:\t2\n"));
    ++threads;
  }
  EXPECT_EQ(threads, 2);
  EXPECT_EQ(child.Finish(), 0);
}

TEST(FsdSeccomp, WhatAFileServerDoesNotNeedKillsIt) {
  const std::pair<const char*, std::function<void()>> actions[] = {
      // Not there: a program that is would be killed by its own first calls.
      {"execve", [] { (void)execl("/nosuch", "nosuch", nullptr); }},
      {"fork", [] { (void)fork(); }},
      {"socket", [] { (void)socket(AF_UNIX, SOCK_STREAM, 0); }},
      {"mount", [] { (void)syscall(SYS_mount, 0, 0, 0, 0, 0); }},
      {"open_tree", [] { (void)syscall(SYS_open_tree, AT_FDCWD, "/", 0); }},
      {"unshare", [] { (void)syscall(SYS_unshare, 0); }},
      {"setns", [] { (void)syscall(SYS_setns, 0, 0); }},
      {"chroot", [] { (void)syscall(SYS_chroot, "/"); }},
      {"fchdir", [] { (void)syscall(SYS_fchdir, 0); }},
      {"ptrace", [] { (void)syscall(SYS_ptrace, 0, 0, 0, 0); }},
      {"io_uring_setup", [] { (void)syscall(SYS_io_uring_setup, 1, nullptr); }},
      {"ioctl", [] { (void)syscall(SYS_ioctl, 0, 0, 0); }},
      {"mmap of code",
       [] {
         (void)mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
       }},
  };
  for (const auto& [name, action] : actions) {
    const int status = Filtered(action).Finish();
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << name << ": " << status;
  }
}

}  // namespace
}  // namespace holt::fsd
