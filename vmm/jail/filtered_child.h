#pragma once

// For tests of system call filters.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"

namespace holt::vmm {

// A child that confines itself, says so, and on a byte runs `action` in its main thread.
class FilteredChild {
 public:
  // `confine` returns what is to live as long as the child, its threads for one; null if it failed.
  FilteredChild(const std::function<std::shared_ptr<void>()>& confine,
                const std::function<void()>& action) {
    int pair[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid_ = fork();
    if (pid_ == 0) {
      close(pair[0]);
      const std::shared_ptr<void> kept = confine();
      char ready = kept != nullptr;
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
  FilteredChild(const FilteredChild&) = delete;
  FilteredChild& operator=(const FilteredChild&) = delete;

  // /proc/PID/task/*/status.
  std::vector<std::string> Threads() const {
    std::vector<std::string> out;
    for (const auto& task :
         std::filesystem::directory_iterator("/proc/" + std::to_string(pid_) + "/task"))
      out.push_back(base::ReadFile(task.path().string() + "/status").value_or(""));
    return out;
  }
  // Lets the action run; the wait status.
  int Finish() {
    EXPECT_EQ(write(socket_, "x", 1), 1);
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    close(socket_);
    return status;
  }
  bool IsKilledByFilter() {
    const int status = Finish();
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
  }

 private:
  pid_t pid_ = -1;
  int socket_ = -1;
};

}  // namespace holt::vmm
