#include "vmm/jail/seccomp.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <thread>

#include "base/file.h"
#include "vmm/jail/privileges.h"

namespace holt::vmm {
namespace {

// A child with two threads that installs the filter, says so, and on a byte runs `action` in its
// main thread. Both ends of `socket` are stream sockets.
struct Jailed {
  explicit Jailed(const std::function<void()>& action) {
    int pair[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid = fork();
    if (pid == 0) {
      close(pair[0]);
      std::thread other([&] {
        char c;
        while (recv(pair[1], &c, 1, MSG_PEEK) > 0) usleep(1000);
      });
      char ready = DropPrivileges().ok() && CheckUnprivileged().ok() &&
                   InstallSeccomp(SeccompPolicy::kSoftware).ok();
      if (write(pair[1], &ready, 1) != 1 || read(pair[1], &ready, 1) != 1) _exit(9);
      action();
      _exit(0);
    }
    close(pair[1]);
    socket = pair[0];
    char ready = 0;
    EXPECT_EQ(read(socket, &ready, 1), 1);
    EXPECT_EQ(ready, 1);
  }
  // Lets the action run; the wait status.
  int Finish() {
    EXPECT_EQ(write(socket, "x", 1), 1);
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    close(socket);
    return status;
  }
  pid_t pid;
  int socket;
};

bool KilledByFilter(int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS; }

TEST(Seccomp, FilterIsOnEveryThreadAndCapabilitiesAreGone) {
  Jailed child([] {});
  int threads = 0;
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/" + std::to_string(child.pid) + "/task")) {
    auto status = base::ReadFile(task.path().string() + "/status");
    ASSERT_TRUE(status.ok());
    EXPECT_NE(status->find("\nSeccomp:\t2\n"), std::string::npos) << *status;
    EXPECT_NE(status->find("\nNoNewPrivs:\t1\n"), std::string::npos) << *status;
    ++threads;
  }
  EXPECT_EQ(threads, 2);
  EXPECT_EQ(child.Finish(), 0) << "what a machine needs is allowed";
}

TEST(Seccomp, WhatAMachineDoesNotNeedKillsIt) {
  EXPECT_TRUE(KilledByFilter(Jailed([] { (void)open("/etc/passwd", O_RDONLY); }).Finish()));
  // A program that is not there: one that is would be killed by its own first calls.
  EXPECT_TRUE(KilledByFilter(Jailed([] { (void)execl("/nosuch", "nosuch", nullptr); }).Finish()));
  EXPECT_TRUE(KilledByFilter(Jailed([] { (void)fork(); }).Finish()));
  EXPECT_TRUE(KilledByFilter(Jailed([] { (void)socket(AF_INET, SOCK_STREAM, 0); }).Finish()));
  EXPECT_TRUE(KilledByFilter(Jailed([] {
                               (void)mmap(nullptr, 4096, PROT_READ | PROT_EXEC,
                                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                             }).Finish()));
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
