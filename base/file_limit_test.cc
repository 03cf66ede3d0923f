#include "base/file_limit.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace holt::base {
namespace {

// The limits are the process's, so a child tries them; it exits with 0 when `soft` is what it has
// then.
bool BecomesInChild(rlim_t before, size_t wanted, size_t soft) {
  pid_t child = fork();
  if (child == 0) {
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = before;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0) _exit(2);
    auto now = RaiseFileLimit(wanted);
    if (!now || *now != soft) _exit(3);
    getrlimit(RLIMIT_NOFILE, &files);
    _exit(files.rlim_cur == soft ? 0 : 4);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(RaiseFileLimitTest, RaisesAndNeverLowers) {
  EXPECT_TRUE(BecomesInChild(64, 200, 200));
  EXPECT_TRUE(BecomesInChild(300, 200, 300));
}

TEST(RaiseFileLimitTest, GoesAsFarAsTheHardLimit) {
  rlimit files{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  // No kernel has this many (fs.nr_open).
  EXPECT_TRUE(BecomesInChild(64, size_t{1} << 40, files.rlim_max));
}

}  // namespace
}  // namespace holt::base
