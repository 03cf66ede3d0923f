#include "image/layer/tree_writer.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "image/layer/entry_path.h"

namespace holt::image::layer {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

namespace {

constexpr uint64_t kStayInside =
    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
constexpr size_t kMaxCachedDirectories = 128;

// How openat2 refused a walk, in the words of an archive.
base::Error ExplainWalk(base::Error error, const std::string& path) {
  switch (error.err()) {
    case ELOOP:
      return base::Error(
          Code::kInvalidArgument,
          fmt::format("hostile archive: \"{}\" goes through a symbolic link", ShownName(path)),
          ELOOP);
    case ENOTDIR:
      return base::Error(Code::kInvalidArgument,
                         fmt::format("archive: \"{}\" lies under something that is not a directory",
                                     ShownName(path)),
                         ENOTDIR);
    case EXDEV:
      return base::Error(Code::kInvalidArgument,
                         fmt::format("hostile archive: \"{}\" leaves the layer", ShownName(path)),
                         EXDEV);
    default:
      return error;
  }
}

// A path the xattr calls take for an entry that must not be opened.
std::string ProcPath(int parent, const std::string& name) {
  return fmt::format("/proc/self/fd/{}/{}", parent, name);
}

base::Error EntryError(int err, const char* what, const std::string& path) {
  return base::ErrnoError(err, fmt::format("{} \"{}\"", what, ShownName(path)));
}

}  // namespace

Result<XattrVerdict> JudgeXattr(std::string_view name) {
  // These steer overlayfs: redirect alone would show another directory's files.
  if (name.starts_with("trusted.overlay.") || name.starts_with("user.overlay."))
    return MakeError(Code::kInvalidArgument, "hostile archive: extended attribute {}",
                     ShownName(name));
  if (name.starts_with("user.") || name == "security.capability" ||
      name == "system.posix_acl_access" || name == "system.posix_acl_default")
    return XattrVerdict::kKeep;
  // Labels (security.selinux, security.ima) are of the machine that built the image.
  return XattrVerdict::kDrop;
}

Result<TreeWriter> TreeWriter::Open(const std::string& root, Driver driver) {
  TRY_ASSIGN(UniqueFd fd, base::Open(root, O_RDONLY | O_DIRECTORY));
  return TreeWriter(std::move(fd), driver);
}

Result<UniqueFd> TreeWriter::OpenDirectory(const std::string& path) {
  return base::OpenAt2(root_.get(), path.empty() ? "." : path, O_RDONLY | O_DIRECTORY, kStayInside);
}

Status TreeWriter::MakeMissing(const std::string& path) {
  SplitPath split = Split(path);
  TRY_ASSIGN(int parent, ParentFd(split.parent));
  bool was_whiteout = driver_ == Driver::kNative && IsWhiteout(parent, split.name);
  if (was_whiteout) unlinkat(parent, (".wh." + split.name).c_str(), 0);
  if (mkdirat(parent, split.name.c_str(), 0755) != 0) {
    if (errno != EEXIST) return EntryError(errno, "make directory", path);
    // OpenDirectory said it is not there as a directory: only a whiteout may give way.
    if (!IsWhiteout(parent, split.name)) return EntryError(ENOTDIR, "make directory", path);
    TRY(Clear(parent, split.name, path, &was_whiteout));
    if (mkdirat(parent, split.name.c_str(), 0755) != 0)
      return EntryError(errno, "make directory", path);
  }
  implicit_.insert(path);
  TRY_ASSIGN(UniqueFd fd, OpenDirectory(path));
  // mkdir obeys the umask.
  if (fchmod(fd.get(), 0755) != 0) return EntryError(errno, "chmod", path);
  if (was_whiteout) TRY(MarkOpaque(fd.get(), path));
  return {};
}

Result<int> TreeWriter::ParentFd(const std::string& path) {
  if (path.empty()) return root_.get();
  if (auto it = cache_.find(path); it != cache_.end()) return it->second.get();
  auto fd = OpenDirectory(path);
  if (!fd && fd.error().err() == ENOTDIR) {
    SplitPath split = Split(path);
    auto parent = ParentFd(split.parent);
    if (!parent) return parent;
    if (IsWhiteout(*parent, split.name)) {
      TRY(MakeMissing(path));
      fd = OpenDirectory(path);
    }
  } else if (!fd && fd.error().err() == ENOENT) {
    TRY(MakeMissing(path));
    fd = OpenDirectory(path);
  }
  if (!fd) return ExplainWalk(std::move(fd).error(), path);
  if (cache_.size() >= kMaxCachedDirectories) cache_.clear();
  return cache_.emplace(path, std::move(*fd)).first->second.get();
}

bool TreeWriter::IsWhiteout(int parent, const std::string& name) const {
  struct stat st {};
  if (driver_ == Driver::kNative)
    return fstatat(parent, (".wh." + name).c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
  return fstatat(parent, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(st.st_mode) &&
         st.st_rdev == makedev(0, 0);
}

Status TreeWriter::Clear(int parent, const std::string& name, const std::string& path,
                         bool* was_whiteout) {
  *was_whiteout = IsWhiteout(parent, name);
  if (*was_whiteout && driver_ == Driver::kNative) unlinkat(parent, (".wh." + name).c_str(), 0);
  if (unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return EntryError(errno, "replace", path);
  TRY(base::RemoveTree(ProcPath(parent, name)));
  std::string below = path + "/";
  auto gone = [&](const std::string& p) { return p == path || p.starts_with(below); };
  // Only these: the caller still uses a descriptor of the cache.
  std::erase_if(cache_, [&](const auto& item) { return gone(item.first); });
  std::erase_if(implicit_, gone);
  std::erase_if(directory_times_, [&](const auto& item) { return gone(item.first); });
  return {};
}

Status TreeWriter::MarkOpaque(int directory, const std::string& path) {
  if (path.empty()) {
    opaque_root_ = true;
    return {};
  }
  if (driver_ == Driver::kNative) {
    UniqueFd mark(
        openat(directory, ".wh..wh..opq", O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!mark) return EntryError(errno, "mark opaque", path);
    return {};
  }
  if (fsetxattr(directory, "trusted.overlay.opaque", "y", 1, 0) != 0)
    return EntryError(errno, "mark opaque", path);
  return {};
}

Status TreeWriter::Apply(int parent, const std::string& name, const std::string& path,
                         const Metadata& metadata, bool symlink) {
  if (fchownat(parent, name.c_str(), metadata.uid, metadata.gid, AT_SYMLINK_NOFOLLOW) != 0)
    return EntryError(errno, "set the owner of", path);
  // The entry was made by us a moment ago and is no link, so fchmodat cannot be led astray.
  if (!symlink && fchmodat(parent, name.c_str(), metadata.mode, 0) != 0)
    return EntryError(errno, "set the mode of", path);
  for (const auto& [key, value] : metadata.xattrs)
    if (lsetxattr(ProcPath(parent, name).c_str(), key.c_str(), value.data(), value.size(), 0) !=
            0 &&
        !(symlink && errno == EPERM))
      return EntryError(errno, ("set " + ShownName(key) + " of").c_str(), path);
  timespec times[2] = {metadata.mtime, metadata.mtime};
  if (utimensat(parent, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
    return EntryError(errno, "set the time of", path);
  return {};
}

Status TreeWriter::Directory(const std::string& path, const Metadata& metadata) {
  if (!path.empty()) {
    SplitPath split = Split(path);
    TRY_ASSIGN(int parent, ParentFd(split.parent));
    bool was_whiteout = driver_ == Driver::kNative && IsWhiteout(parent, split.name);
    if (mkdirat(parent, split.name.c_str(), 0700) != 0) {
      if (errno != EEXIST) return EntryError(errno, "make directory", path);
      struct stat st {};
      if (fstatat(parent, split.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
        return EntryError(errno, "stat", path);
      if (!S_ISDIR(st.st_mode)) {
        TRY(Clear(parent, split.name, path, &was_whiteout));
        if (mkdirat(parent, split.name.c_str(), 0700) != 0)
          return EntryError(errno, "make directory", path);
      }
    } else if (was_whiteout) {
      unlinkat(parent, (".wh." + split.name).c_str(), 0);
    }
    if (was_whiteout) {
      TRY_ASSIGN(UniqueFd fd, OpenDirectory(path));
      TRY(MarkOpaque(fd.get(), path));
    }
  }
  auto fd = OpenDirectory(path);
  if (!fd) return ExplainWalk(std::move(fd).error(), path);
  if (fchown(fd->get(), metadata.uid, metadata.gid) != 0)
    return EntryError(errno, "set the owner of", path);
  if (fchmod(fd->get(), metadata.mode) != 0) return EntryError(errno, "set the mode of", path);
  for (const auto& [key, value] : metadata.xattrs)
    if (fsetxattr(fd->get(), key.c_str(), value.data(), value.size(), 0) != 0)
      return EntryError(errno, ("set " + ShownName(key) + " of").c_str(), path);
  implicit_.erase(path);
  if (path.empty()) implicit_root_ = false;
  directory_times_[path] = metadata.mtime;
  if (!path.empty()) {
    if (cache_.size() >= kMaxCachedDirectories) cache_.clear();
    cache_.insert_or_assign(path, std::move(*fd));
  }
  return {};
}

Result<UniqueFd> TreeWriter::CreateFile(const std::string& path) {
  SplitPath split = Split(path);
  if (split.name.empty())
    return MakeError(Code::kInvalidArgument, "hostile archive: the root is not a directory");
  TRY_ASSIGN(int parent, ParentFd(split.parent));
  constexpr int kFlags = O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC;
  bool was_whiteout = false;
  if (driver_ == Driver::kNative) TRY(Clear(parent, split.name, path, &was_whiteout));
  UniqueFd fd(openat(parent, split.name.c_str(), kFlags, 0600));
  if (!fd && errno == EEXIST) {
    TRY(Clear(parent, split.name, path, &was_whiteout));
    fd.Reset(openat(parent, split.name.c_str(), kFlags, 0600));
  }
  if (!fd) return EntryError(errno, "create", path);
  return fd;
}

Status TreeWriter::FinishFile(int fd, const std::string& path, const Metadata& metadata) {
  if (fchown(fd, metadata.uid, metadata.gid) != 0)
    return EntryError(errno, "set the owner of", path);
  if (fchmod(fd, metadata.mode) != 0) return EntryError(errno, "set the mode of", path);
  for (const auto& [key, value] : metadata.xattrs)
    if (fsetxattr(fd, key.c_str(), value.data(), value.size(), 0) != 0)
      return EntryError(errno, ("set " + ShownName(key) + " of").c_str(), path);
  timespec times[2] = {metadata.mtime, metadata.mtime};
  if (futimens(fd, times) != 0) return EntryError(errno, "set the time of", path);
  return {};
}

Status TreeWriter::Symlink(const std::string& path, const std::string& target,
                           const Metadata& metadata) {
  SplitPath split = Split(path);
  if (split.name.empty())
    return MakeError(Code::kInvalidArgument, "hostile archive: the root is a symbolic link");
  TRY_ASSIGN(int parent, ParentFd(split.parent));
  bool was_whiteout = false;
  TRY(Clear(parent, split.name, path, &was_whiteout));
  if (symlinkat(target.c_str(), parent, split.name.c_str()) != 0)
    return EntryError(errno, "make symbolic link", path);
  return Apply(parent, split.name, path, metadata, true);
}

Status TreeWriter::Node(const std::string& path, mode_t type, dev_t device,
                        const Metadata& metadata) {
  SplitPath split = Split(path);
  if (split.name.empty())
    return MakeError(Code::kInvalidArgument, "hostile archive: the root is not a directory");
  // overlayfs takes this device for a whiteout: it would delete a file of a lower layer unseen.
  if (type == S_IFCHR && device == makedev(0, 0))
    return MakeError(Code::kInvalidArgument, "hostile archive: \"{}\" is a character device 0:0",
                     ShownName(path));
  TRY_ASSIGN(int parent, ParentFd(split.parent));
  bool was_whiteout = false;
  TRY(Clear(parent, split.name, path, &was_whiteout));
  if (mknodat(parent, split.name.c_str(), type | 0600, device) != 0)
    return EntryError(errno, "make device node", path);
  return Apply(parent, split.name, path, metadata, false);
}

Status TreeWriter::HardLink(const std::string& path, const std::string& target) {
  SplitPath split = Split(path);
  SplitPath from = Split(target);
  if (split.name.empty() || from.name.empty())
    return MakeError(Code::kInvalidArgument, "hostile archive: a hard link to or from the root");
  TRY_ASSIGN(bool metadata, IsUnderMetadata(target));
  if (metadata || from.name.starts_with(".wh."))
    return MakeError(Code::kInvalidArgument, "hostile archive: \"{}\" is a hard link to a whiteout",
                     ShownName(path));
  if (path == target)
    return MakeError(Code::kInvalidArgument, "archive: \"{}\" is a hard link to itself",
                     ShownName(path));
  auto source = base::OpenAt2(root_.get(), from.parent.empty() ? "." : from.parent,
                              O_PATH | O_DIRECTORY, kStayInside);
  if (!source && source.error().err() != ENOENT)
    return ExplainWalk(std::move(source).error(), target);
  struct stat st {};
  bool missing = !source ||
                 fstatat(source->get(), from.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0 ||
                 IsWhiteout(source->get(), from.name);
  TRY_ASSIGN(int parent, ParentFd(split.parent));
  bool was_whiteout = false;
  TRY(Clear(parent, split.name, path, &was_whiteout));
  if (missing) {
    missing_.emplace_back(path, target);
    return {};
  }
  if (S_ISDIR(st.st_mode))
    return MakeError(Code::kInvalidArgument,
                     "hostile archive: \"{}\" is a hard link to a directory", ShownName(path));
  if (linkat(source->get(), from.name.c_str(), parent, split.name.c_str(), 0) != 0)
    return EntryError(errno, "make hard link", path);
  return {};
}

Status TreeWriter::Whiteout(const std::string& path) {
  SplitPath split = Split(path);
  TRY_ASSIGN(int parent, ParentFd(split.parent));
  struct stat st {};
  if (fstatat(parent, split.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
    // This layer has the name itself: a whiteout speaks of lower layers only.
    if (!S_ISDIR(st.st_mode)) return {};
    TRY_ASSIGN(UniqueFd fd, OpenDirectory(path));
    return MarkOpaque(fd.get(), path);
  }
  if (driver_ == Driver::kNative) {
    UniqueFd mark(openat(parent, (".wh." + split.name).c_str(),
                         O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!mark) return EntryError(errno, "make whiteout", path);
    return {};
  }
  if (mknodat(parent, split.name.c_str(), S_IFCHR | 0600, makedev(0, 0)) != 0)
    return EntryError(errno, "make whiteout", path);
  return {};
}

Status TreeWriter::Opaque(const std::string& path) {
  TRY_ASSIGN(int directory, ParentFd(path));
  return MarkOpaque(directory, path);
}

Status TreeWriter::Finish() {
  cache_.clear();
  for (const auto& [path, mtime] : directory_times_) {
    auto fd = OpenDirectory(path);
    if (!fd) return ExplainWalk(std::move(fd).error(), path);
    timespec times[2] = {mtime, mtime};
    if (futimens(fd->get(), times) != 0) return EntryError(errno, "set the time of", path);
  }
  return {};
}

}  // namespace holt::image::layer
