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
#include <unistd.h>

#include <functional>

#include "vmm/fsd/slow_lane.h"
#include "vmm/jail/filtered_child.h"

namespace holt::fsd {
namespace {

using ::testing::HasSubstr;

// A child with the file server's second thread.
vmm::FilteredChild Filtered(const std::function<void()>& action) {
  return vmm::FilteredChild(
      []() -> std::shared_ptr<void> {
        auto slow = std::make_shared<SlowLane>();
        bool confined = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && InstallSeccomp().ok();
        return confined ? slow : nullptr;
      },
      action);
}

TEST(FsdSeccomp, FilterIsOnEveryThread) {
  vmm::FilteredChild child = Filtered([] {});
  const auto threads = child.Threads();
  for (const std::string& status : threads) EXPECT_THAT(status, HasSubstr("\nSeccomp:\t2\n"));
  EXPECT_EQ(threads.size(), 2u);
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
  for (const auto& [name, action] : actions)
    EXPECT_TRUE(Filtered(action).IsKilledByFilter()) << name;
}

}  // namespace
}  // namespace holt::fsd
