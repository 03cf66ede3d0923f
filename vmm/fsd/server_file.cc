// Requests about open files.
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "vmm/fsd/server.h"
#include "vmm/fsd/server_later.h"

namespace holt::fsd {
namespace {

// What one COPY_FILE_RANGE does at most; the guest asks again for the rest.
constexpr uint64_t kMaxCopy = 64 << 20;
// Larger copies than this leave the loop.
constexpr uint64_t kInlineCopy = 1 << 20;

// preadv2 or pwritev2 over all of `iov`: again after a part when there are more pieces than one
// call takes. The bytes moved, or a negative errno.
template <typename Call>
ssize_t MoveAll(std::span<iovec> iov, off_t offset, Call call) {
  ssize_t total = 0;
  while (!iov.empty()) {
    auto some = iov.first(std::min<size_t>(iov.size(), IOV_MAX));
    size_t want = 0;
    for (const iovec& piece : some) want += piece.iov_len;
    ssize_t n = call(some, offset + total);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return total > 0 ? total : -errno;
    total += n;
    if (static_cast<size_t>(n) < want) break;
    iov = iov.subspan(some.size());
  }
  return total;
}

}  // namespace

int Server::HostOpenFlags(uint32_t guest_flags) const {
  // O_APPEND goes with each write instead (the guest may change it, and write-back must not
  // append); O_DIRECT would put the host's alignment rules on guest memory.
  int flags = static_cast<int>(guest_flags) & (O_ACCMODE | O_TRUNC | O_SYNC | O_DSYNC | O_NOATIME);
  // The guest's page cache reads around what it writes.
  if ((features_ & FUSE_WRITEBACK_CACHE) != 0 && (flags & O_ACCMODE) == O_WRONLY)
    flags = (flags & ~O_ACCMODE) | O_RDWR;
  return flags;
}

uint32_t Server::OpenFlags(Inode& inode, int fd) {
  uint32_t flags = 0;
  switch (options_.cache) {
    case Cache::kNone:
    case Cache::kMetadata:
      flags |= FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES;
      break;
    case Cache::kAlways:
      flags |= FOPEN_KEEP_CACHE;
      break;
    case Cache::kAuto: {
      struct statx stat {};
      if (statx(fd, "", AT_EMPTY_PATH, STATX_MTIME | STATX_SIZE, &stat) != 0) break;
      ContentStamp now{stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec, stat.stx_size};
      if (inodes_.SwapStamp(inode, now)) flags |= FOPEN_KEEP_CACHE;
      break;
    }
  }
  // Flush on close has a meaning only for the locks that are kept here.
  if (options_.locks == Locks::kGuest) flags |= FOPEN_NOFLUSH;
  return flags;
}

ChangeFeed::Own Server::OwnChangeOf(const OpenFile& file) {
  PinnedInode inode;
  if (!feed_ || !file.writable || inodes_.Pin(file.nodeid, inode) != 0) return {};
  return {feed_.get(), *inode.inode};
}

Server::Outcome Server::Open(Worker& worker, Request& request) {
  fuse_open_in in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  const int flags = HostOpenFlags(in.flags);
  const bool writable = (flags & O_ACCMODE) != O_RDONLY;
  if (refuses_writes() && (writable || (flags & O_TRUNC) != 0)) return request.Error(EROFS);
  PinnedInode inode;
  if (int err = inodes_.Pin(request.header().nodeid, inode); err != 0) return request.Error(err);
  if (inode.inode->type == S_IFDIR) return request.Error(EISDIR);
  worker.credentials.SetFsetid((in.open_flags & FUSE_OPEN_KILL_SUIDGID) == 0);
  // Only what truncates is seen by others.
  ChangeFeed::Own own((flags & O_TRUNC) != 0 ? feed_.get() : nullptr, *inode.inode);
  base::UniqueFd fd(OpenInode(inode, flags));
  if (!fd) return request.Error(-fd.get());
  fuse_open_out out{};
  out.open_flags = OpenFlags(*inode.inode, fd.get());
  out.fh = AddHandle(request.header().nodeid, std::move(fd), writable);
  return request.Ok(out);
}

Server::Outcome Server::Read(Worker& worker, Request& request) {
  fuse_read_in in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  auto file = handles_.File(in.fh);
  if (!file) return request.Error(EBADF);
  if (in.offset > INT64_MAX) return request.Error(EINVAL);
  worker.iovecs.clear();
  request.writer().TakeIovecs(in.size, worker.iovecs);
  // Straight into the guest: no byte passes through our memory.
  ssize_t n =
      MoveAll(worker.iovecs, static_cast<off_t>(in.offset), [&](std::span<iovec> iov, off_t at) {
        return preadv(file->fd.get(), iov.data(), static_cast<int>(iov.size()), at);
      });
  if (n < 0) return request.Error(static_cast<int>(-n));
  return request.OkInPlace(static_cast<uint32_t>(n));
}

Server::Outcome Server::Write(Worker& worker, Request& request) {
  fuse_write_in in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  auto file = handles_.File(in.fh);
  if (!file) return request.Error(EBADF);
  if (in.offset > INT64_MAX || in.size > request.data().left()) return request.Error(EINVAL);
  if (refuses_writes()) return request.Error(EROFS);
  worker.iovecs.clear();
  request.data().TakeIovecs(in.size, worker.iovecs);
  worker.credentials.SetFsetid((in.write_flags & FUSE_WRITE_KILL_SUIDGID) == 0);
  // Pages that are written back have a place; only write() itself appends, and with a write-back
  // cache the guest knows the end of the file.
  const bool append = (in.flags & O_APPEND) != 0 && (in.write_flags & FUSE_WRITE_CACHE) == 0 &&
                      (features_ & FUSE_WRITEBACK_CACHE) == 0;
  ChangeFeed::Own own = OwnChangeOf(*file);
  ssize_t n =
      MoveAll(worker.iovecs, static_cast<off_t>(in.offset), [&](std::span<iovec> iov, off_t at) {
        return pwritev2(file->fd.get(), iov.data(), static_cast<int>(iov.size()), at,
                        append ? RWF_APPEND : 0);
      });
  if (n < 0) return request.Error(static_cast<int>(-n));
  return request.Ok(fuse_write_out{static_cast<uint32_t>(n), 0});
}

Server::Outcome Server::Release(Request& request, bool directory) {
  fuse_release_in in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  auto file = directory ? handles_.Directory(in.fh) : handles_.File(in.fh);
  if (!file) return request.Error(EBADF);
  // The last to have it closes it.
  ChangeFeed::Own own = OwnChangeOf(*file);
  handles_.Remove(in.fh);
  const uint64_t nodeid = file->nodeid;
  if (file->writable && options_.cache == Cache::kAuto) {
    // What the guest wrote itself is in its cache: the next open need not drop it.
    struct statx stat {};
    PinnedInode inode;
    if (inodes_.Pin(nodeid, inode) == 0 &&
        statx(file->fd.get(), "", AT_EMPTY_PATH, STATX_MTIME | STATX_SIZE, &stat) == 0)
      inodes_.SwapStamp(*inode.inode,
                        {stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec, stat.stx_size});
  }
  file.reset();  // closes, and with that gives up its flock
  if (options_.locks == Locks::kHost) locks_.Release(nodeid, in.fh);
  return request.Ok();
}

Server::Outcome Server::Flush(Request& request) {
  fuse_flush_in in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  auto file = handles_.File(in.fh);
  if (!file) return request.Error(EBADF);
  if (options_.locks == Locks::kHost) locks_.Flush(file->nodeid, in.lock_owner);
  return request.Ok();
}

Server::Outcome Server::Fsync(Worker& worker, Request& request, bool directory) {
  fuse_fsync_in in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  auto file = directory ? handles_.Directory(in.fh) : handles_.File(in.fh);
  if (!file) return request.Error(EBADF);
  const bool data_only = (in.fsync_flags & FUSE_FSYNC_FDATASYNC) != 0;
  return Later(worker, request, [file, data_only](std::string&) {
    return (data_only ? fdatasync(file->fd.get()) : fsync(file->fd.get())) == 0 ? 0 : errno;
  });
}

Server::Outcome Server::Fallocate(Worker& worker, Request& request) {
  fuse_fallocate_in in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  auto file = handles_.File(in.fh);
  if (!file) return request.Error(EBADF);
  if (refuses_writes()) return request.Error(EROFS);
  if (in.offset > INT64_MAX || in.length > INT64_MAX) return request.Error(EFBIG);
  // The request does not say whether set-id bits are to go; only a privileged caller keeps them.
  worker.credentials.SetFsetid(request.header().uid == 0);
  ChangeFeed::Own own = OwnChangeOf(*file);
  if (fallocate(file->fd.get(), static_cast<int>(in.mode), static_cast<off_t>(in.offset),
                static_cast<off_t>(in.length)) != 0)
    return request.Error(errno);
  return request.Ok();
}

Server::Outcome Server::Lseek(Request& request) {
  fuse_lseek_in in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  auto file = handles_.Any(in.fh);
  if (!file) return request.Error(EBADF);
  // The others need no file system; and a directory's position is Readdir's business.
  if ((in.whence != SEEK_DATA && in.whence != SEEK_HOLE) || file->directory)
    return request.Error(EINVAL);
  off_t at = lseek(file->fd.get(), static_cast<off_t>(in.offset), static_cast<int>(in.whence));
  if (at < 0) return request.Error(errno);
  return request.Ok(fuse_lseek_out{static_cast<uint64_t>(at)});
}

Server::Outcome Server::CopyFileRange(Worker& worker, Request& request) {
  fuse_copy_file_range_in in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  auto from = handles_.File(in.fh_in);
  auto to = handles_.File(in.fh_out);
  if (!from || !to) return request.Error(EBADF);
  if (refuses_writes()) return request.Error(EROFS);
  if (in.flags != 0 || in.off_in > INT64_MAX || in.off_out > INT64_MAX)
    return request.Error(EINVAL);
  const size_t length = std::min(in.len, kMaxCopy);
  auto copy = [from, to, in, length](std::string& payload) {
    auto at_in = static_cast<off64_t>(in.off_in);
    auto at_out = static_cast<off64_t>(in.off_out);
    ssize_t n = copy_file_range(from->fd.get(), &at_in, to->fd.get(), &at_out, length, 0);
    if (n < 0) return errno;
    fuse_write_out out{static_cast<uint32_t>(n), 0};
    payload.assign(reinterpret_cast<const char*>(&out), sizeof out);
    return 0;
  };
  // As in Fallocate. Set-id bits are a matter of the thread that copies, so who is to lose them is
  // served here.
  worker.credentials.SetFsetid(request.header().uid == 0);
  if (length > kInlineCopy && request.header().uid == 0) return Later(worker, request, copy);
  std::string payload;
  ChangeFeed::Own own = OwnChangeOf(*to);
  if (int err = copy(payload); err != 0) return request.Error(err);
  return request.OkBytes(std::as_bytes(std::span(payload)));
}

}  // namespace holt::fsd
