// Locks that the guest sends here (Locks::kHost); see LockTable.
#include <fcntl.h>

#include <cerrno>

#include "vmm/fsd/server.h"

namespace holt::fsd {

Server::Outcome Server::Getlk(Request& request) {
  fuse_lk_in in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  if (options_.locks != Locks::kHost) return request.Error(ENOSYS);
  PinnedInode inode;
  if (int err = inodes_.Pin(request.header().nodeid, inode); err != 0) return request.Error(err);
  LockTable::Request lock{request.header().nodeid, in.fh, nullptr, in.owner, false, in.lk};
  auto open = [&] {
    int fd = OpenInode(inode, O_RDWR);
    return fd == -EROFS || fd == -EACCES ? OpenInode(inode, O_RDONLY) : fd;
  };
  fuse_lk_out out{};
  if (int err = locks_.Get(lock, open, out.lk); err != 0) return request.Error(err);
  return request.Ok(out);
}

Server::Outcome Server::Setlk(Worker& worker, Request& request, bool wait) {
  fuse_lk_in in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  if (options_.locks != Locks::kHost) return request.Error(ENOSYS);
  auto file = handles_.File(in.fh);
  if (!file) return request.Error(EBADF);
  PinnedInode inode;
  if (int err = inodes_.Pin(request.header().nodeid, inode); err != 0) return request.Error(err);
  const bool is_flock = (in.lk_flags & FUSE_LK_FLOCK) != 0;
  LockTable::Request lock{request.header().nodeid, in.fh, file, in.owner, is_flock, in.lk};
  auto open = [&] {
    int fd = OpenInode(inode, O_RDWR);
    return fd == -EROFS || fd == -EACCES ? OpenInode(inode, O_RDONLY) : fd;
  };
  int err = locks_.Set(lock, open);
  if (err == 0) return request.Ok();
  if (err != EAGAIN || !wait) return request.Error(err);
  const uint64_t unique = request.header().unique;
  locks_.Wait(lock, unique, worker.completer, request.TakeChain());
  return std::nullopt;
}

}  // namespace holt::fsd
