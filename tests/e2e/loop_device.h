#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <string>

#include "base/unique_fd.h"
#include "tests/e2e/holt.h"

namespace holt {

// What a script of the host's says; it succeeds.
inline std::string Shell(const std::string& script) {
  Finished finished = Program::Start({"/bin/bash", "-c", script}, {})->Finish();
  EXPECT_EQ(finished.status, 0) << script << ": " << finished.err;
  while (finished.out.ends_with('\n')) finished.out.pop_back();
  return finished.out;
}

// A loop device of the host's on a new file of 32 MiB, gone with this; whoever still holds it then
// fails the test.
class LoopDevice {
 public:
  static constexpr off_t kBytes = 32 << 20;

  explicit LoopDevice(const std::string& file) {
    base::UniqueFd fd(open(file.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    EXPECT_EQ(ftruncate(fd.get(), kBytes), 0);
    path_ = Shell("losetup --find --show " + file);
  }
  ~LoopDevice() {
    EXPECT_TRUE(IsFree()) << path_ << " is still in use";
    Shell("losetup --detach " + path_);
  }
  LoopDevice(const LoopDevice&) = delete;
  LoopDevice& operator=(const LoopDevice&) = delete;

  const std::string& path() const { return path_; }
  bool IsFree() const {
    return base::UniqueFd(open(path_.c_str(), O_RDWR | O_EXCL | O_CLOEXEC)).valid();
  }
  void Write(const std::string& bytes, off_t offset) const {
    base::UniqueFd fd(open(path_.c_str(), O_RDWR | O_CLOEXEC));
    EXPECT_EQ(pwrite(fd.get(), bytes.data(), bytes.size(), offset),
              static_cast<ssize_t>(bytes.size()));
    EXPECT_EQ(fsync(fd.get()), 0);
  }
  std::string Read(size_t bytes, off_t offset) const {
    base::UniqueFd fd(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    std::string out(bytes, '\0');
    EXPECT_EQ(pread(fd.get(), out.data(), bytes, offset), static_cast<ssize_t>(bytes));
    return out;
  }
  // Its number's; the major is 7.
  unsigned minor() const {
    struct stat node {};
    EXPECT_EQ(stat(path_.c_str(), &node), 0);
    return ::minor(node.st_rdev);
  }

 private:
  std::string path_;
};

}  // namespace holt
