// Requests about one inode and its attributes.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "vmm/fsd/proc_path.h"
#include "vmm/fsd/server.h"

namespace holt::fsd {

Server::Outcome Server::Lookup(Request& request) {
  auto name = request.args().ReadString();
  if (!name) return request.Error(EINVAL);
  if (int err = CheckName(*name); err != 0) return request.Error(err);
  PinnedInode parent;
  if (int err = inodes_.Pin(request.header().nodeid, parent); err != 0) return request.Error(err);
  fuse_entry_out entry{};
  if (int err = LookupEntry(parent, *name, entry); err != 0) {
    if (err != ENOENT || entry_seconds_ == 0) return request.Error(err);
    // Inode 0 with a time: the guest may remember that there is nothing.
    entry = {};
    entry.entry_valid = entry_seconds_;
  }
  return request.Ok(entry);
}

Server::Outcome Server::Forget(Request& request) {
  fuse_forget_in in{};
  if (request.args().Read(in)) inodes_.Forget(request.header().nodeid, in.nlookup);
  return 0;  // has no reply
}

Server::Outcome Server::BatchForget(Request& request) {
  fuse_batch_forget_in in{};
  if (!request.args().Read(in)) return 0;
  fuse_forget_one one{};
  for (uint32_t i = 0; i < in.count && request.args().Read(one); ++i)
    inodes_.Forget(one.nodeid, one.nlookup);
  return 0;
}

Server::Outcome Server::Getattr(Request& request) {
  fuse_getattr_in in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  fuse_attr_out out{};
  if ((in.getattr_flags & FUSE_GETATTR_FH) != 0) {
    if (auto file = handles_.Any(in.fh); file) {
      if (int err = FillAttrReply(file->fd.get(), out); err != 0) return request.Error(err);
      return request.Ok(out);
    }
  }
  PinnedInode inode;
  if (int err = inodes_.Pin(request.header().nodeid, inode); err != 0) return request.Error(err);
  if (int err = FillAttrReply(inode.get(), out); err != 0) return request.Error(err);
  return request.Ok(out);
}

Server::Outcome Server::Statx(Request& request) {
  FuseStatxIn in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  PinnedInode inode;
  if (int err = inodes_.Pin(request.header().nodeid, inode); err != 0) return request.Error(err);
  struct statx stat {};
  if (int err = StatInode(inode.get(), stat); err != 0) return request.Error(err);
  FuseStatxOut out{};
  out.attr_valid = attr_seconds_;
  FuseStatx& to = out.stat;
  to.mask = stat.stx_mask & (STATX_BASIC_STATS | STATX_BTIME);
  to.blksize = stat.stx_blksize;
  to.attributes = stat.stx_attributes;
  to.attributes_mask = stat.stx_attributes_mask;
  to.nlink = stat.stx_nlink;
  to.uid = stat.stx_uid;
  to.gid = stat.stx_gid;
  to.mode = stat.stx_mode;
  to.ino = stat.stx_ino;
  to.size = stat.stx_size;
  to.blocks = stat.stx_blocks;
  auto time = [](const statx_timestamp& from) {
    return FuseStatxTime{from.tv_sec, from.tv_nsec, 0};
  };
  to.atime = time(stat.stx_atime);
  to.btime = time(stat.stx_btime);
  to.ctime = time(stat.stx_ctime);
  to.mtime = time(stat.stx_mtime);
  to.rdev_major = stat.stx_rdev_major;
  to.rdev_minor = stat.stx_rdev_minor;
  to.dev_major = stat.stx_dev_major;
  to.dev_minor = stat.stx_dev_minor;
  return request.Ok(out);
}

namespace {

// utimensat's idea of what SETATTR asks for.
timespec TimeOf(const fuse_setattr_in& in, uint32_t set, uint32_t now, uint64_t seconds,
                uint32_t nanoseconds) {
  if ((in.valid & set) == 0) return {0, UTIME_OMIT};
  if ((in.valid & now) != 0) return {0, UTIME_NOW};
  return {static_cast<time_t>(seconds), static_cast<long>(nanoseconds)};
}

}  // namespace

Server::Outcome Server::Setattr(Worker& worker, Request& request) {
  fuse_setattr_in in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  if (refuses_writes()) return request.Error(EROFS);
  PinnedInode inode;
  if (int err = inodes_.Pin(request.header().nodeid, inode); err != 0) return request.Error(err);
  const ProcPath path(inode.get());
  ChangeFeed::Own own(feed_.get(), *inode.inode);

  // The order matters: a change of owner or size clears set-id bits, which a mode that comes with
  // it sets again; and both change the times that may come with them.
  if ((in.valid & (FATTR_UID | FATTR_GID)) != 0) {
    const uid_t uid = (in.valid & FATTR_UID) != 0 ? in.uid : static_cast<uid_t>(-1);
    const gid_t gid = (in.valid & FATTR_GID) != 0 ? in.gid : static_cast<gid_t>(-1);
    if (fchownat(inode.get(), "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0)
      return request.Error(errno);
  }
  if ((in.valid & FATTR_SIZE) != 0) {
    if (in.size > INT64_MAX) return request.Error(EFBIG);
    if (inode.inode->type != S_IFREG)
      return request.Error(inode.inode->type == S_IFDIR ? EISDIR : EINVAL);
    worker.credentials.SetFsetid((in.valid & FATTR_KILL_SUIDGID) == 0);
    auto file = (in.valid & FATTR_FH) != 0 ? handles_.File(in.fh) : nullptr;
    const auto size = static_cast<off_t>(in.size);
    // A handle that is gone or only for reading: by the inode then.
    const bool by_handle = file && file->writable && file->nodeid == inode.inode->nodeid;
    if ((by_handle ? ftruncate(file->fd.get(), size) : truncate(path.get(), size)) != 0)
      return request.Error(errno);
  }
  if ((in.valid & FATTR_MODE) != 0) {
    worker.credentials.SetFsetid(true);  // the guest decided already which bits its caller may set
    if (inode.inode->type == S_IFLNK) return request.Error(EOPNOTSUPP);
    if (fchmodat(AT_FDCWD, path.get(), in.mode & 07777, 0) != 0) return request.Error(errno);
  }
  if ((in.valid & (FATTR_ATIME | FATTR_MTIME)) != 0) {
    const timespec times[2] = {TimeOf(in, FATTR_ATIME, FATTR_ATIME_NOW, in.atime, in.atimensec),
                               TimeOf(in, FATTR_MTIME, FATTR_MTIME_NOW, in.mtime, in.mtimensec)};
    if (utimensat(AT_FDCWD, path.get(), times, 0) != 0) return request.Error(errno);
  }
  fuse_attr_out out{};
  if (int err = FillAttrReply(inode.get(), out); err != 0) return request.Error(err);
  return request.Ok(out);
}

Server::Outcome Server::Readlink(Request& request) {
  PinnedInode inode;
  if (int err = inodes_.Pin(request.header().nodeid, inode); err != 0) return request.Error(err);
  char target[PATH_MAX];
  ssize_t n = readlinkat(inode.get(), "", target, sizeof target);
  if (n < 0) return request.Error(errno);
  return request.OkBytes(std::as_bytes(std::span(target, static_cast<size_t>(n))));
}

// The guest checks permissions itself (default_permissions) and does not ask. Who asks is told what
// the mode bits say.
Server::Outcome Server::Access(Request& request) {
  fuse_access_in in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  PinnedInode inode;
  if (int err = inodes_.Pin(request.header().nodeid, inode); err != 0) return request.Error(err);
  struct statx stat {};
  if (int err = StatInode(inode.get(), stat); err != 0) return request.Error(err);
  if ((in.mask & W_OK) != 0 && refuses_writes()) return request.Error(EROFS);
  uint32_t allowed = stat.stx_mode & 7;
  if (request.header().uid == 0) {
    const bool executable = S_ISDIR(stat.stx_mode) || (stat.stx_mode & 0111) != 0;
    allowed = R_OK | W_OK | (executable ? X_OK : 0);
  } else if (request.header().uid == stat.stx_uid) {
    allowed = (stat.stx_mode >> 6) & 7;
  } else if (request.header().gid == stat.stx_gid) {
    allowed = (stat.stx_mode >> 3) & 7;
  }
  return (in.mask & 7 & ~allowed) != 0 ? request.Error(EACCES) : request.Ok();
}

}  // namespace holt::fsd
