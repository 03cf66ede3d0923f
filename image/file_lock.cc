#include "image/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <thread>

#include "base/file.h"

namespace holt::image {
namespace {

// True if the path still names the file behind `fd`: whoever held the lock before may have removed
// it.
bool StillThere(int fd, const std::string& path) {
  struct stat mine {};
  struct stat named {};
  return fstat(fd, &mine) == 0 && stat(path.c_str(), &named) == 0 && mine.st_dev == named.st_dev &&
         mine.st_ino == named.st_ino;
}

}  // namespace

base::Result<FileLock> FileLock::Acquire(const std::string& path, LockMode mode,
                                         std::chrono::milliseconds deadline,
                                         const std::function<bool()>& cancelled) {
  auto end = std::chrono::steady_clock::now() + deadline;
  auto pause = std::chrono::milliseconds(2);
  int operation = (mode == LockMode::kShared ? LOCK_SH : LOCK_EX) | LOCK_NB;
  while (true) {
    TRY_ASSIGN(base::UniqueFd fd, base::Open(path, O_RDWR | O_CREAT, 0600));
    while (true) {
      if (flock(fd.get(), operation) == 0) {
        if (StillThere(fd.get(), path)) return FileLock(std::move(fd));
        break;
      }
      if (errno != EWOULDBLOCK && errno != EINTR) return HOLT_ERRNO("lock {}", path);
      if (cancelled && cancelled()) return base::MakeError(base::Code::kCancelled, "cancelled");
      if (std::chrono::steady_clock::now() >= end)
        return base::MakeError(base::Code::kDeadlineExceeded, "lock {}: held by another process",
                               path);
      std::this_thread::sleep_for(pause);
      pause = std::min(pause * 2, std::chrono::milliseconds(50));
    }
  }
}

}  // namespace holt::image
