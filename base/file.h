#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holt::base {

// open(2) with O_CLOEXEC added; the error names the path.
Result<UniqueFd> Open(const std::string& path, int flags, mode_t mode = 0);
// openat(2) with O_CLOEXEC added.
Result<UniqueFd> OpenAt(int dirfd, const std::string& path, int flags, mode_t mode = 0);
// openat2(2) with O_CLOEXEC added; `resolve` is RESOLVE_* of linux/openat2.h. Paths that a guest,
// an image or a configuration names go through this with RESOLVE_IN_ROOT or RESOLVE_BENEATH.
Result<UniqueFd> OpenAt2(int dirfd, const std::string& path, uint64_t flags, uint64_t resolve,
                         mode_t mode = 0);

// Reads to the end; an input larger than `max_bytes` is an error, not a truncation.
Result<std::string> ReadFd(int fd, size_t max_bytes);
Result<std::string> ReadFile(const std::string& path, size_t max_bytes = 64 << 20);

// Writes all of `data`, going on after short writes and EINTR.
Status WriteFd(int fd, std::string_view data);
// Truncates or creates, then writes. Not atomic: for /proc and /sys, and for files nobody reads
// yet.
Status WriteFile(const std::string& path, std::string_view data, mode_t mode = 0644);
// Write aside, fsync, rename, fsync of the directory: readers see the old or the new content whole,
// also after a crash.
Status WriteFileAtomic(const std::string& path, std::string_view data, mode_t mode = 0644);

// mkdir -p. Directories it makes get `mode`.
Status MakeDirs(const std::string& path, mode_t mode = 0755);
// rm -r without following symlinks and without crossing into other mounts (a mount point below is
// an error). A path that does not exist is no error.
Status RemoveTree(const std::string& path);

bool PathExists(const std::string& path);

// Makes the descriptor survive exec, or not.
Status SetCloexec(int fd, bool cloexec);
Status SetNonblocking(int fd, bool nonblocking);

}  // namespace holt::base
