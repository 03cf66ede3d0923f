#include "image/layer/copy.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <vector>

#include "base/file.h"
#include "image/layer/tree_writer.h"

namespace holt::image::layer {

using base::Status;

namespace {

std::string ProcFd(int fd) { return fmt::format("/proc/self/fd/{}", fd); }

// One stretch of data, at the same offset in both.
Status CopyRange(int from, int to, off_t start, off_t end) {
  while (start < end) {
    off_t in = start;
    off_t out = start;
    ssize_t n = copy_file_range(from, &in, to, &out, static_cast<size_t>(end - start), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n > 0) {
      start += n;
      continue;
    }
    if (n < 0 && errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS)
      return HOLT_ERRNO("copy");
    // File systems that cannot copy among themselves.
    char buffer[64 << 10];
    ssize_t got = pread(from, buffer,
                        std::min<size_t>(sizeof buffer, static_cast<size_t>(end - start)), start);
    if (got < 0) return HOLT_ERRNO("copy: read");
    if (got == 0) return {};
    if (pwrite(to, buffer, static_cast<size_t>(got), start) != got)
      return HOLT_ERRNO("copy: write");
    start += got;
  }
  return {};
}

Status CopyXattrs(int from, int to) {
  std::string source = ProcFd(from);
  std::vector<char> names(64 << 10);
  ssize_t length = listxattr(source.c_str(), names.data(), names.size());
  if (length < 0)
    return errno == EOPNOTSUPP ? Status() : Status(HOLT_ERRNO("list extended attributes"));
  for (const char* name = names.data(); name < names.data() + length; name += strlen(name) + 1) {
    auto verdict = JudgeXattr(name);
    if (!verdict || *verdict == XattrVerdict::kDrop) continue;
    std::vector<char> value(64 << 10);
    ssize_t size = getxattr(source.c_str(), name, value.data(), value.size());
    if (size < 0) return HOLT_ERRNO("read {}", name);
    if (setxattr(ProcFd(to).c_str(), name, value.data(), static_cast<size_t>(size), 0) != 0)
      return HOLT_ERRNO("set {}", name);
  }
  return {};
}

}  // namespace

Status CopyContent(int from, int to, uint64_t size) {
  if (size == 0) return {};
  if (ioctl(to, FICLONE, from) == 0) return {};
  if (ftruncate(to, static_cast<off_t>(size)) != 0) return HOLT_ERRNO("copy: set size");
  auto end = static_cast<off_t>(size);
  off_t data = 0;
  while (data < end) {
    data = lseek(from, data, SEEK_DATA);
    if (data < 0 && errno == ENXIO) return {};
    if (data < 0) return CopyRange(from, to, 0, end);
    off_t hole = lseek(from, data, SEEK_HOLE);
    if (hole < 0 || hole > end) hole = end;
    TRY(CopyRange(from, to, data, hole));
    data = hole;
  }
  return {};
}

Status CopyMetadata(int from, int to, const struct stat& st) {
  if (fchownat(to, "", st.st_uid, st.st_gid, AT_EMPTY_PATH) != 0) return HOLT_ERRNO("copy owner");
  timespec times[2] = {st.st_atim, st.st_mtim};
  if (S_ISLNK(st.st_mode)) {
    if (utimensat(to, "", times, AT_EMPTY_PATH) != 0) return HOLT_ERRNO("copy times");
    return {};
  }
  // SAFETY: /proc/self/fd leads to the open file itself, whatever its name is by now.
  if (chmod(ProcFd(to).c_str(), st.st_mode & 07777) != 0) return HOLT_ERRNO("copy mode");
  TRY(CopyXattrs(from, to));
  if (utimensat(AT_FDCWD, ProcFd(to).c_str(), times, 0) != 0) return HOLT_ERRNO("copy times");
  return {};
}

}  // namespace holt::image::layer
