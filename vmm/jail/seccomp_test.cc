#include "vmm/jail/seccomp.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <semaphore>
#include <thread>

#include "vmm/jail/filtered_child.h"
#include "vmm/jail/privileges.h"

namespace holt::vmm {
namespace {

// A child with a second thread, as holt-vmm's vCPUs are.
FilteredChild Jailed(const std::function<void()>& action) {
  return FilteredChild(
      []() -> std::shared_ptr<void> {
        // It waits by a call that is allowed: it may not have begun to when the filter comes.
        auto other = std::make_shared<std::thread>([] { std::binary_semaphore(0).acquire(); });
        bool confined = DropPrivileges().ok() && CheckUnprivileged().ok() &&
                        InstallSeccomp(SeccompPolicy::kSoftware).ok();
        return confined ? other : nullptr;
      },
      action);
}

TEST(Seccomp, FilterIsOnEveryThreadAndCapabilitiesAreGone) {
  FilteredChild child = Jailed([] {});
  const auto threads = child.Threads();
  for (const std::string& status : threads) {
    EXPECT_NE(status.find("\nSeccomp:\t2\n"), std::string::npos) << status;
    EXPECT_NE(status.find("\nNoNewPrivs:\t1\n"), std::string::npos) << status;
  }
  EXPECT_EQ(threads.size(), 2u);
  EXPECT_EQ(child.Finish(), 0) << "what a machine needs is allowed";
}

TEST(Seccomp, WhatAMachineDoesNotNeedKillsIt) {
  EXPECT_TRUE(Jailed([] { (void)open("/etc/passwd", O_RDONLY); }).IsKilledByFilter());
  // A program that is not there: one that is would be killed by its own first calls.
  EXPECT_TRUE(Jailed([] { (void)execl("/nosuch", "nosuch", nullptr); }).IsKilledByFilter());
  EXPECT_TRUE(Jailed([] { (void)fork(); }).IsKilledByFilter());
  EXPECT_TRUE(Jailed([] { (void)socket(AF_INET, SOCK_STREAM, 0); }).IsKilledByFilter());
  EXPECT_TRUE(Jailed([] {
                (void)mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                           0);
              }).IsKilledByFilter());
}

TEST(Seccomp, WhatAMachineNeedsIsAllowed) {
  EXPECT_EQ(Jailed([] {
              int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
              void* memory =
                  mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              if (fd < 0 || memory == MAP_FAILED || munmap(memory, 4096) != 0) _exit(3);
              close(fd);
            }).Finish(),
            0);
}

}  // namespace
}  // namespace holt::vmm
