// Reading directories.
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "vmm/fsd/server.h"

namespace holt::fsd {
namespace {

constexpr size_t kDirectoryBuffer = size_t{32} * 1024;
// A reply; guests ask for a page to 128 KiB.
constexpr uint32_t kMaxReply = 128 * 1024;

// The kernel's struct linux_dirent64, out of a buffer that it filled.
struct Entry {
  uint64_t ino;
  int64_t next;
  uint16_t length;
  uint8_t type;
  const char* name;
};

Entry ParseEntry(const std::byte* at) {
  dirent64 fixed;
  constexpr size_t kFixed = offsetof(dirent64, d_name);
  std::memcpy(&fixed, at, kFixed);
  return {fixed.d_ino, fixed.d_off, fixed.d_reclen, fixed.d_type,
          reinterpret_cast<const char*>(at + kFixed)};
}

// Appends a dirent for `entry` at `to`, which has room and is padded to 8 bytes.
void PutDirent(std::byte* to, const Entry& entry, size_t name_bytes) {
  fuse_dirent out{};
  out.ino = entry.ino;
  out.off = static_cast<uint64_t>(entry.next);
  out.namelen = static_cast<uint32_t>(name_bytes);
  out.type = entry.type;
  std::memcpy(to, &out, FUSE_NAME_OFFSET);
  std::memcpy(to + FUSE_NAME_OFFSET, entry.name, name_bytes);
  const size_t used = FUSE_NAME_OFFSET + name_bytes;
  std::memset(to + used, 0, FUSE_DIRENT_ALIGN(used) - used);
}

}  // namespace

Server::Outcome Server::Opendir(Request& request) {
  fuse_open_in in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  PinnedInode inode;
  if (int err = inodes_.Pin(request.header().nodeid, inode); err != 0) return request.Error(err);
  if (inode.inode->type != S_IFDIR) return request.Error(ENOTDIR);
  base::UniqueFd fd(OpenInode(inode, O_RDONLY));
  if (!fd) return request.Error(-fd.get());
  auto file = std::make_shared<OpenFile>();
  file->nodeid = request.header().nodeid;
  file->fd = std::move(fd);
  file->directory = std::make_unique<DirectoryBuffer>();
  fuse_open_out out{};
  if (options_.cache == Cache::kAlways) out.open_flags = FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE;
  out.fh = handles_.Add(std::move(file));
  return request.Ok(out);
}

Server::Outcome Server::Readdir(Worker& worker, Request& request, bool plus) {
  fuse_read_in in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  auto file = handles_.Directory(in.fh);
  if (!file) return request.Error(EBADF);
  PinnedInode parent;
  if (plus) {
    if (int err = inodes_.Pin(file->nodeid, parent); err != 0) return request.Error(err);
  }
  DirectoryBuffer& buffer = *file->directory;
  std::lock_guard lock(buffer.mutex);
  if (buffer.bytes.empty()) buffer.bytes.resize(kDirectoryBuffer);
  const auto offset = static_cast<int64_t>(in.offset);
  // From the start means anew; elsewhere than where we stopped means seek.
  if (offset == 0 || offset != buffer.offset) {
    if (lseek(file->fd.get(), offset, SEEK_SET) < 0) return request.Error(errno);
    buffer.at = buffer.end = 0;
    buffer.offset = offset;
  }

  const size_t limit = std::min({in.size, request.room(), kMaxReply});
  if (worker.arguments.size() < limit) worker.arguments.resize(limit);
  std::byte* const reply = worker.arguments.data();
  size_t used = 0;
  while (true) {
    if (buffer.at == buffer.end) {
      ssize_t n = getdents64(file->fd.get(), buffer.bytes.data(), buffer.bytes.size());
      if (n < 0) {
        if (used == 0) return request.Error(errno);
        break;
      }
      buffer.at = 0;
      buffer.end = static_cast<size_t>(n);
      if (n == 0) break;
    }
    const Entry entry = ParseEntry(buffer.bytes.data() + buffer.at);
    const size_t name_bytes = strnlen(entry.name, entry.length - offsetof(dirent64, d_name));
    const size_t head = plus ? FUSE_NAME_OFFSET_DIRENTPLUS - FUSE_NAME_OFFSET : 0;
    const size_t size = head + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + name_bytes);
    if (size > limit - used) break;
    if (plus) {
      fuse_entry_out out{};
      const std::string_view name(entry.name, name_bytes);
      // Inode 0 says "look it up yourself": for what cannot be looked up now, and for the dots.
      if (name == "." || name == ".." || LookupEntry(parent, entry.name, out) != 0) out = {};
      std::memcpy(reply + used, &out, sizeof out);
    }
    PutDirent(reply + used + head, entry, name_bytes);
    used += size;
    buffer.at += entry.length;
    buffer.offset = entry.next;
  }
  return request.OkBytes(std::span(reply, used));
}

}  // namespace holt::fsd
