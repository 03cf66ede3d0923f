#include "guest-agent/mount/in_root.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::UniqueFd;

constexpr uint64_t kResolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

}  // namespace

Result<UniqueFd> OpenInRoot(int root, const std::string& path, int flags) {
  return base::OpenAt2(root, path.empty() ? "/" : path, static_cast<uint64_t>(flags), kResolve);
}

Result<UniqueFd> OpenInRootNoSymlinks(int root, const std::string& path, int flags) {
  return base::OpenAt2(root, path, static_cast<uint64_t>(flags), kResolve | RESOLVE_NO_SYMLINKS);
}

std::vector<std::string> PathComponents(const std::string& path) {
  std::vector<std::string> components;
  size_t begin = 0;
  while (begin < path.size()) {
    size_t end = std::min(path.find('/', begin), path.size());
    std::string component = path.substr(begin, end - begin);
    if (!component.empty() && component != ".") components.push_back(std::move(component));
    begin = end + 1;
  }
  return components;
}

Result<std::pair<std::string, std::string>> SplitLast(const std::string& path) {
  std::vector<std::string> components = PathComponents(path);
  if (components.empty() || components.back() == "..")
    return MakeError(Code::kInvalidArgument, "{}: names no file", path);
  std::string parent;
  for (size_t i = 0; i + 1 < components.size(); ++i) parent += "/" + components[i];
  return std::pair(parent.empty() ? "/" : parent, components.back());
}

Result<UniqueFd> MakeDirsInRoot(int root, const std::string& path, mode_t mode) {
  // The common case: it exists.
  auto there = OpenInRoot(root, path, O_PATH | O_DIRECTORY);
  if (there || there.error().err() != ENOENT) return there;
  TRY_ASSIGN(UniqueFd current, OpenInRoot(root, "/", O_PATH | O_DIRECTORY));
  std::string prefix;
  for (const std::string& component : PathComponents(path)) {
    prefix += "/" + component;
    auto next = OpenInRoot(root, prefix, O_PATH | O_DIRECTORY);
    if (!next && next.error().err() == ENOENT) {
      // EEXIST here is a dangling symlink, or someone who was quicker: the second open tells.
      if (mkdirat(current.get(), component.c_str(), mode) != 0 && errno != EEXIST)
        return HOLT_ERRNO("mkdir {}", prefix);
      next = OpenInRoot(root, prefix, O_PATH | O_DIRECTORY);
    }
    if (!next) return std::move(next).error();
    current = std::move(*next);
  }
  return current;
}

Result<UniqueFd> MakeFileInRoot(int root, const std::string& path) {
  auto there = OpenInRoot(root, path, O_PATH);
  if (there || there.error().err() != ENOENT) return there;
  TRY_ASSIGN(auto split, SplitLast(path));
  TRY_ASSIGN(UniqueFd parent, MakeDirsInRoot(root, split.first));
  UniqueFd file(openat(parent.get(), split.second.c_str(),
                       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!file && errno != EEXIST) return HOLT_ERRNO("create {}", path);
  return OpenInRoot(root, path, O_PATH);
}

}  // namespace holt::guest_agent
