#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holt::image {

enum class LockMode { kShared, kExclusive };

// A lock on a file of its own (flock): holds against other processes and, because every Acquire
// opens the file anew, against other threads; the kernel releases it when the holder dies, however
// it dies.
class FileLock {
 public:
  FileLock() = default;

  // Waits until `deadline` from now (zero: one try) or until `cancelled` says true. The error code
  // is kDeadlineExceeded or kCancelled then. Creates the file.
  static base::Result<FileLock> Acquire(const std::string& path, LockMode mode,
                                        std::chrono::milliseconds deadline,
                                        const std::function<bool()>& cancelled = {});

  bool held() const { return fd_.valid(); }
  int fd() const { return fd_.get(); }
  void Release() { fd_.Reset(); }

 private:
  explicit FileLock(base::UniqueFd fd) : fd_(std::move(fd)) {}
  base::UniqueFd fd_;
};

inline constexpr std::chrono::milliseconds kLockForever = std::chrono::hours(24 * 365);

}  // namespace holt::image
