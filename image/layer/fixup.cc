#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <optional>

#include "base/file.h"
#include "image/layer/copy.h"
#include "image/layer/entry_path.h"
#include "image/layer/tree_writer.h"
#include "image/layer/unpack.h"
#include "image/store_json.h"

namespace holt::image::layer {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

namespace {

constexpr uint64_t kStayInside = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;

enum class Found { kHere, kLower, kNowhere };

bool IsOpaque(int layer, const std::string& path, Driver driver) {
  if (driver == Driver::kNative)
    return base::OpenAt2(layer, path + "/.wh..wh..opq", O_PATH | O_NOFOLLOW, kStayInside).ok();
  auto fd = base::OpenAt2(layer, path, O_RDONLY | O_DIRECTORY, kStayInside);
  char value = 0;
  return fd && fgetxattr(fd->get(), "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

bool HasWhiteout(int layer, const std::string& path, const struct stat* st, Driver driver) {
  if (driver == Driver::kOverlay) return st && S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
  SplitPath split = Split(path);
  std::string mark = (split.parent.empty() ? "" : split.parent + "/") + ".wh." + split.name;
  return base::OpenAt2(layer, mark, O_PATH | O_NOFOLLOW, kStayInside).ok();
}

// What one layer has to say about `path`: the entry, a reason to look no further, or nothing.
Found LookInLayer(int layer, const std::string& path, Driver driver, UniqueFd& out,
                  struct stat& st) {
  bool opaque_above = false;
  size_t end = 0;
  while (true) {
    end = path.find('/', end);
    std::string prefix = path.substr(0, end);
    bool last = end == std::string::npos;
    auto fd = base::OpenAt2(layer, prefix, O_PATH | O_NOFOLLOW, kStayInside);
    bool there = fd && fstat(fd->get(), &st) == 0;
    if (HasWhiteout(layer, prefix, there ? &st : nullptr, driver)) return Found::kNowhere;
    if (!there) return opaque_above ? Found::kNowhere : Found::kLower;
    if (last) {
      out = std::move(*fd);
      return Found::kHere;
    }
    if (!S_ISDIR(st.st_mode)) return Found::kNowhere;
    opaque_above = opaque_above || IsOpaque(layer, prefix, driver);
    ++end;
  }
}

class Lower {
 public:
  static Result<Lower> Open(const std::vector<std::string>& roots, Driver driver) {
    Lower lower(driver);
    for (const std::string& root : roots) {
      TRY_ASSIGN(UniqueFd fd, base::Open(root, O_PATH | O_DIRECTORY));
      lower.layers_.push_back(std::move(fd));
    }
    return lower;
  }
  // The entry a union of the layers would show, as an O_PATH descriptor.
  std::optional<UniqueFd> Find(const std::string& path, struct stat& st) const {
    for (const UniqueFd& layer : layers_) {
      UniqueFd fd;
      switch (LookInLayer(layer.get(), path, driver_, fd, st)) {
        case Found::kHere:
          return fd;
        case Found::kNowhere:
          return std::nullopt;
        case Found::kLower:
          break;
      }
    }
    return std::nullopt;
  }

 private:
  explicit Lower(Driver driver) : driver_(driver) {}
  Driver driver_;
  std::vector<UniqueFd> layers_;
};

Status AdoptDirectory(int root, const std::string& path, const Lower& lower) {
  struct stat st {};
  auto below = lower.Find(path, st);
  if (!below) return {};
  if (S_ISLNK(st.st_mode))
    return MakeError(
        Code::kUnsupported,
        "the layer has entries under \"{0}\", which is a symbolic link in a layer below, and "
        "none for \"{0}\" itself; build the layer again with a tool that resolves the link",
        ShownName(path));
  if (!S_ISDIR(st.st_mode)) return {};
  TRY_ASSIGN(UniqueFd mine, base::OpenAt2(root, path, O_PATH | O_DIRECTORY, kStayInside));
  return CopyMetadata(below->get(), mine.get(), st);
}

Status CopyLinked(int root, const std::string& path, const std::string& target,
                  const Lower& lower) {
  struct stat st {};
  auto below = lower.Find(target, st);
  if (!below || !S_ISREG(st.st_mode))
    return MakeError(Code::kInvalidArgument,
                     "archive: \"{}\" is a hard link to \"{}\", which no layer has as a file",
                     ShownName(path), ShownName(target));
  TRY_ASSIGN(UniqueFd from, base::Open(fmt::format("/proc/self/fd/{}", below->get()), O_RDONLY));
  SplitPath split = Split(path);
  TRY_ASSIGN(UniqueFd parent, base::OpenAt2(root, split.parent.empty() ? "." : split.parent,
                                            O_PATH | O_DIRECTORY, kStayInside));
  UniqueFd to(openat(parent.get(), split.name.c_str(),
                     O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!to && errno == EEXIST) return {};  // a later entry of the layer took the name
  if (!to) return HOLT_ERRNO("create \"{}\"", ShownName(path));
  TRY_CONTEXT(CopyContent(from.get(), to.get(), static_cast<uint64_t>(st.st_size)),
              ShownName(path));
  return CopyMetadata(from.get(), to.get(), st);
}

// overlayfs does not look for an opaque mark on the root of a layer, so each name below is hidden.
Status HideRoot(const std::string& root, const std::vector<std::string>& lower, Driver driver) {
  TRY_ASSIGN(TreeWriter writer, TreeWriter::Open(root, driver));
  for (const std::string& layer : lower) {
    TRY_ASSIGN(auto names, ListNames(layer));
    for (const std::string& name : names) {
      if (name.starts_with(".wh.")) continue;
      TRY(writer.Whiteout(name));
    }
  }
  return {};
}

}  // namespace

Status Fixup(const std::string& root, const std::vector<std::string>& lower,
             const Leftovers& leftovers, Driver driver) {
  if (leftovers.empty()) return {};
  TRY_ASSIGN(Lower below,
             Lower::Open(leftovers.opaque_root ? std::vector<std::string>() : lower, driver));
  TRY_ASSIGN(UniqueFd fd, base::Open(root, O_PATH | O_DIRECTORY));
  for (const auto& [path, target] : leftovers.missing_links)
    TRY(CopyLinked(fd.get(), path, target, below));
  if (leftovers.opaque_root) TRY(HideRoot(root, lower, driver));
  if (leftovers.implicit_root && !lower.empty()) {
    TRY_ASSIGN(UniqueFd parent, base::Open(lower.front(), O_PATH | O_DIRECTORY));
    struct stat st {};
    if (fstat(parent.get(), &st) != 0) return HOLT_ERRNO("stat {}", lower.front());
    TRY(CopyMetadata(parent.get(), fd.get(), st));
  }
  // Last and deepest first: work in a directory changes its times.
  const auto& directories = leftovers.implicit_directories;
  for (auto it = directories.rbegin(); it != directories.rend(); ++it)
    TRY(AdoptDirectory(fd.get(), *it, below));
  return {};
}

}  // namespace holt::image::layer
