#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>

namespace holt::base {
namespace {

struct DirCloser {
  void operator()(DIR* dir) const { closedir(dir); }
};

// Deeper than this a directory is moved up to the top before its content goes: who fills a tree
// decides how deep it is, and neither descriptors nor the stack may run out over it.
constexpr int kDeepestDescent = 64;

class TreeRemover {
 public:
  TreeRemover(int top, dev_t device) : top_(top), device_(device) {}

  Status Run(const std::string& path) {
    // What was moved up may have been missed by the listing that was going on.
    while (true) {
      moved_ = false;
      TRY(Children(top_, path, 0));
      if (!moved_) return {};
    }
  }

 private:
  Status Children(int dirfd, const std::string& path, int depth) {
    UniqueFd copy(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!copy) return HOLT_ERRNO("open {}", path);
    std::unique_ptr<DIR, DirCloser> dir(fdopendir(copy.get()));
    if (!dir) return HOLT_ERRNO("read {}", path);
    (void)copy.Release();
    while (true) {
      errno = 0;
      const dirent* entry = readdir(dir.get());
      if (!entry) {
        if (errno != 0) return HOLT_ERRNO("read {}", path);
        return {};
      }
      std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      TRY(Entry(dirfd, entry->d_name, path, depth));
    }
  }

  Status Entry(int dirfd, const char* name, const std::string& path, int depth) {
    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT) return {};
    if (errno != EISDIR && errno != EPERM) return HOLT_ERRNO("remove {}/{}", path, name);
    UniqueFd fd(openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return HOLT_ERRNO("remove {}/{}", path, name);
    struct stat st {};
    if (fstat(fd.get(), &st) != 0) return HOLT_ERRNO("remove {}/{}", path, name);
    if (st.st_dev != device_)
      return MakeError(Code::kFailedPrecondition,
                       "remove {}/{}: another file system is mounted there", path, name);
    if (depth >= kDeepestDescent) return MoveUp(dirfd, name, path);
    TRY(Children(fd.get(), path + "/" + name, depth + 1));
    if (unlinkat(dirfd, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
      return HOLT_ERRNO("remove {}/{}", path, name);
    return {};
  }

  Status MoveUp(int dirfd, const char* name, const std::string& path) {
    while (true) {
      std::string aside = fmt::format(".removing-{}", next_++);
      if (renameat2(dirfd, name, top_, aside.c_str(), RENAME_NOREPLACE) == 0) break;
      if (errno != EEXIST) return HOLT_ERRNO("remove {}/{}", path, name);
    }
    moved_ = true;
    return {};
  }

  int top_;
  dev_t device_;
  uint64_t next_ = 0;
  bool moved_ = false;
};

std::string ParentOf(const std::string& path) {
  size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  if (slash == 0) return "/";
  return path.substr(0, slash);
}

}  // namespace

Result<UniqueFd> Open(const std::string& path, int flags, mode_t mode) {
  return OpenAt(AT_FDCWD, path, flags, mode);
}

Result<UniqueFd> OpenAt(int dirfd, const std::string& path, int flags, mode_t mode) {
  while (true) {
    int fd = openat(dirfd, path.c_str(), flags | O_CLOEXEC, mode);
    if (fd >= 0) return UniqueFd(fd);
    if (errno != EINTR) return HOLT_ERRNO("open {}", path);
  }
}

Result<UniqueFd> OpenAt2(int dirfd, const std::string& path, uint64_t flags, uint64_t resolve,
                         mode_t mode) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.mode = mode;
  how.resolve = resolve;
  while (true) {
    long fd = syscall(SYS_openat2, dirfd, path.c_str(), &how, sizeof how);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    // EAGAIN: a rename or mount raced with a ".." walk; the kernel asks to try again.
    if (errno != EINTR && errno != EAGAIN) return HOLT_ERRNO("open {}", path);
  }
}

Result<std::string> ReadFd(int fd, size_t max_bytes) {
  std::string out;
  char buffer[16384];
  while (true) {
    ssize_t n = read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return HOLT_ERRNO("read");
    if (n == 0) return out;
    if (out.size() + static_cast<size_t>(n) > max_bytes)
      return MakeError(Code::kResourceExhausted, "read: larger than {} bytes", max_bytes);
    out.append(buffer, static_cast<size_t>(n));
  }
}

Result<std::string> ReadFile(const std::string& path, size_t max_bytes) {
  TRY_ASSIGN(UniqueFd fd, Open(path, O_RDONLY));
  auto content = ReadFd(fd.get(), max_bytes);
  if (!content) return std::move(content).error().Wrap(path);
  return content;
}

Status WriteFd(int fd, std::string_view data) {
  while (!data.empty()) {
    ssize_t n = write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return HOLT_ERRNO("write");
    data.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Status WriteFile(const std::string& path, std::string_view data, mode_t mode) {
  TRY_ASSIGN(UniqueFd fd, Open(path, O_WRONLY | O_CREAT | O_TRUNC, mode));
  TRY_CONTEXT(WriteFd(fd.get(), data), path);
  return {};
}

Status WriteFileAtomic(const std::string& path, std::string_view data, mode_t mode) {
  std::string temporary = path + ".XXXXXX";
  UniqueFd fd(mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) return HOLT_ERRNO("create {}", temporary);
  auto fail = [&](Error error) {
    unlink(temporary.c_str());
    return error;
  };
  if (auto status = WriteFd(fd.get(), data); !status)
    return fail(std::move(status).error().Wrap(path));
  if (fchmod(fd.get(), mode) != 0) return fail(HOLT_ERRNO("chmod {}", temporary));
  if (fsync(fd.get()) != 0) return fail(HOLT_ERRNO("fsync {}", temporary));
  if (rename(temporary.c_str(), path.c_str()) != 0) return fail(HOLT_ERRNO("rename to {}", path));
  TRY_ASSIGN(UniqueFd dir, Open(ParentOf(path), O_RDONLY | O_DIRECTORY));
  if (fsync(dir.get()) != 0) return HOLT_ERRNO("fsync {}", ParentOf(path));
  return {};
}

Status MakeDirs(const std::string& path, mode_t mode) {
  if (path.empty()) return {};
  if (mkdir(path.c_str(), mode) == 0) return {};
  if (errno == ENOENT) {
    TRY(MakeDirs(ParentOf(path), mode));
    if (mkdir(path.c_str(), mode) == 0) return {};
  }
  if (errno != EEXIST) return HOLT_ERRNO("mkdir {}", path);
  struct stat st {};
  if (stat(path.c_str(), &st) != 0) return HOLT_ERRNO("stat {}", path);
  if (!S_ISDIR(st.st_mode)) return ErrnoError(ENOTDIR, "mkdir " + path);
  return {};
}

Status RemoveTree(const std::string& path) {
  struct stat st {};
  if (lstat(path.c_str(), &st) != 0) {
    if (errno == ENOENT) return {};
    return HOLT_ERRNO("remove {}", path);
  }
  if (!S_ISDIR(st.st_mode)) {
    if (unlink(path.c_str()) != 0 && errno != ENOENT) return HOLT_ERRNO("remove {}", path);
    return {};
  }
  TRY_ASSIGN(UniqueFd fd, Open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  TRY(TreeRemover(fd.get(), st.st_dev).Run(path));
  if (rmdir(path.c_str()) != 0 && errno != ENOENT) return HOLT_ERRNO("remove {}", path);
  return {};
}

bool PathExists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

Status SetCloexec(int fd, bool cloexec) {
  if (fcntl(fd, F_SETFD, cloexec ? FD_CLOEXEC : 0) != 0) return HOLT_ERRNO("fcntl(F_SETFD)");
  return {};
}

Status SetNonblocking(int fd, bool nonblocking) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return HOLT_ERRNO("fcntl(F_GETFL)");
  flags = nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (fcntl(fd, F_SETFL, flags) != 0) return HOLT_ERRNO("fcntl(F_SETFL)");
  return {};
}

}  // namespace holt::base
