#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

// Paths inside a container's root, whose content is hostile: every lookup is openat2(2) with
// RESOLVE_IN_ROOT (".." and absolute symlinks stay inside) and RESOLVE_NO_MAGICLINKS (no
// /proc/self/fd), and its result is a descriptor, never a path to look up again.
namespace holt::guest_agent {

// Opens `path` below `root`; `flags` as open(2), e.g. O_PATH.
base::Result<base::UniqueFd> OpenInRoot(int root, const std::string& path, int flags);
// The same, and a symlink anywhere in the path is an error.
base::Result<base::UniqueFd> OpenInRootNoSymlinks(int root, const std::string& path, int flags);

// mkdir -p; the directory, as O_PATH.
base::Result<base::UniqueFd> MakeDirsInRoot(int root, const std::string& path, mode_t mode = 0755);

// Makes an empty regular file, and its directories, when there is nothing at `path`; what is there
// then, as O_PATH.
base::Result<base::UniqueFd> MakeFileInRoot(int root, const std::string& path);

// "/a//b/./c" → {"a","b","c"}; ".." is kept.
std::vector<std::string> PathComponents(const std::string& path);

// The path up to its last component and that component. Not for "/" or paths that end in "..".
base::Result<std::pair<std::string, std::string>> SplitLast(const std::string& path);

}  // namespace holt::guest_agent
