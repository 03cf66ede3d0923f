#include "guest-agent/mount/copy_up.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "base/file.h"
#include "base/unique_fd.h"

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;
using base::Status;
using base::UniqueFd;

// Each level keeps two descriptors open.
constexpr int kMaxDepth = 200;
constexpr size_t kMaxXattr = 64 << 10;  // XATTR_SIZE_MAX, XATTR_LIST_MAX

struct CloseDir {
  void operator()(DIR* directory) const { closedir(directory); }
};

Status CopyXattrs(int from, int to) {
  std::vector<char> names(kMaxXattr);
  ssize_t length = flistxattr(from, names.data(), names.size());
  if (length < 0 && errno == ENOTSUP) return {};
  if (length < 0) return HOLT_ERRNO("flistxattr");
  std::vector<char> value(kMaxXattr);
  for (const char* name = names.data(); name < names.data() + length;
       name += std::string_view(name).size() + 1) {
    ssize_t size = fgetxattr(from, name, value.data(), value.size());
    if (size < 0 && errno == ENODATA) continue;
    if (size < 0) return HOLT_ERRNO("fgetxattr {}", name);
    // A tmpfs has no user.* before Linux 6.6 and no others' ever.
    if (fsetxattr(to, name, value.data(), static_cast<size_t>(size), 0) != 0 && errno != ENOTSUP)
      return HOLT_ERRNO("fsetxattr {}", name);
  }
  return {};
}

// After the content: writing takes the set-user-ID bits away, and changes the times.
Status CopyAttributes(int from, int to, const struct stat& st) {
  if (fchown(to, st.st_uid, st.st_gid) != 0) return HOLT_ERRNO("chown");
  if (fchmod(to, st.st_mode & 07777) != 0) return HOLT_ERRNO("chmod");
  TRY(CopyXattrs(from, to));
  timespec times[2] = {st.st_atim, st.st_mtim};
  if (futimens(to, times) != 0) return HOLT_ERRNO("utimens");
  return {};
}

Status CopyContent(int from, int to) {
  std::vector<char> buffer(64 << 10);
  for (;;) {
    ssize_t n = read(from, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return HOLT_ERRNO("read");
    if (n == 0) return {};
    TRY(base::WriteFd(to, std::string_view(buffer.data(), static_cast<size_t>(n))));
  }
}

Status CopyLink(int from, int to, const char* name) {
  char target[PATH_MAX];
  ssize_t length = readlinkat(from, name, target, sizeof target - 1);
  if (length < 0) return HOLT_ERRNO("readlink");
  target[length] = '\0';
  if (symlinkat(target, to, name) != 0) return HOLT_ERRNO("symlink");
  return {};
}

// Without a descriptor of its own: opening a node means something to its driver.
Status CopyNode(int from, int to, const char* name, const struct stat& st) {
  if (S_ISLNK(st.st_mode)) {
    TRY(CopyLink(from, to, name));
  } else if (mknodat(to, name, st.st_mode & (S_IFMT | 07777), st.st_rdev) != 0) {
    return HOLT_ERRNO("mknod");
  }
  if (fchownat(to, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) != 0)
    return HOLT_ERRNO("chown");
  // mknod's mode was cut by the umask.
  if (!S_ISLNK(st.st_mode) && fchmodat(to, name, st.st_mode & 07777, 0) != 0)
    return HOLT_ERRNO("chmod");
  timespec times[2] = {st.st_atim, st.st_mtim};
  if (utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) != 0) return HOLT_ERRNO("utimens");
  return {};
}

Status CopyEntries(int from, int to, int depth);

Status CopyEntry(int from, int to, const char* name, int depth) {
  struct stat st {};
  if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) != 0) return HOLT_ERRNO("stat");
  if (S_ISDIR(st.st_mode)) {
    if (mkdirat(to, name, 0700) != 0) return HOLT_ERRNO("mkdir");
    TRY_ASSIGN(UniqueFd source, base::OpenAt(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    TRY_ASSIGN(UniqueFd copy, base::OpenAt(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    TRY(CopyEntries(source.get(), copy.get(), depth + 1));
    return CopyAttributes(source.get(), copy.get(), st);
  }
  if (!S_ISREG(st.st_mode)) return CopyNode(from, to, name, st);
  TRY_ASSIGN(UniqueFd source, base::OpenAt(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  UniqueFd copy(openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!copy) return HOLT_ERRNO("create");
  TRY(CopyContent(source.get(), copy.get()));
  return CopyAttributes(source.get(), copy.get(), st);
}

Status CopyEntries(int from, int to, int depth) {
  if (depth > kMaxDepth)
    return MakeError(Code::kInvalidArgument, "has more than {} directories in each other",
                     kMaxDepth);
  TRY_ASSIGN(UniqueFd again, base::OpenAt(from, ".", O_RDONLY | O_DIRECTORY));
  std::unique_ptr<DIR, CloseDir> directory(fdopendir(again.get()));
  if (!directory) return HOLT_ERRNO("fdopendir");
  (void)again.Release();
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(directory.get());
    if (entry == nullptr) break;
    std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    TRY_CONTEXT(CopyEntry(from, to, name.c_str(), depth), name);
  }
  if (errno != 0) return HOLT_ERRNO("readdir");
  return {};
}

}  // namespace

Status CopyTree(int from, int to) { return CopyEntries(from, to, 0); }

}  // namespace holt::guest_agent
