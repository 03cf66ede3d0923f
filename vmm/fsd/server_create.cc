// Requests that make, name and remove.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "vmm/fsd/proc_path.h"
#include "vmm/fsd/server.h"

namespace holt::fsd {
namespace {

// The reverse of the kernel's new_encode_dev().
dev_t DecodeDevice(uint32_t rdev) {
  return makedev((rdev & 0xfff00) >> 8, (rdev & 0xff) | ((rdev >> 12) & 0xfff00));
}

}  // namespace

Server::Outcome Server::Mknod(Worker& worker, Request& request) {
  fuse_mknod_in in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  auto name = request.args().ReadString();
  if (!name) return request.Error(EINVAL);
  if (int err = CheckName(*name); err != 0) return request.Error(err);
  if (refuses_writes()) return request.Error(EROFS);
  switch (in.mode & S_IFMT) {
    case S_IFREG:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
      break;
    default:
      return request.Error(EINVAL);
  }
  PinnedInode parent;
  if (int err = inodes_.Pin(request.header().nodeid, parent); err != 0) return request.Error(err);
  if (int err = BecomeCaller(worker, request, in.umask); err != 0) return request.Error(err);
  ChangeFeed::Own own(feed_.get(), *parent.inode, *name);
  if (mknodat(parent.get(), *name, in.mode & (S_IFMT | 07777), DecodeDevice(in.rdev)) != 0)
    return request.Error(errno);
  fuse_entry_out entry{};
  if (int err = LookupEntry(parent, *name, entry); err != 0) return request.Error(err);
  return request.Ok(entry);
}

Server::Outcome Server::Mkdir(Worker& worker, Request& request) {
  fuse_mkdir_in in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  auto name = request.args().ReadString();
  if (!name) return request.Error(EINVAL);
  if (int err = CheckName(*name); err != 0) return request.Error(err);
  if (refuses_writes()) return request.Error(EROFS);
  PinnedInode parent;
  if (int err = inodes_.Pin(request.header().nodeid, parent); err != 0) return request.Error(err);
  if (int err = BecomeCaller(worker, request, in.umask); err != 0) return request.Error(err);
  ChangeFeed::Own own(feed_.get(), *parent.inode, *name);
  if (mkdirat(parent.get(), *name, in.mode & 07777) != 0) return request.Error(errno);
  fuse_entry_out entry{};
  if (int err = LookupEntry(parent, *name, entry); err != 0) return request.Error(err);
  return request.Ok(entry);
}

Server::Outcome Server::Symlink(Worker& worker, Request& request) {
  auto name = request.args().ReadString();
  auto target = name ? request.args().ReadString() : std::nullopt;
  if (!target) return request.Error(EINVAL);
  if (int err = CheckName(*name); err != 0) return request.Error(err);
  if (refuses_writes()) return request.Error(EROFS);
  PinnedInode parent;
  if (int err = inodes_.Pin(request.header().nodeid, parent); err != 0) return request.Error(err);
  if (int err = BecomeCaller(worker, request, 0); err != 0) return request.Error(err);
  // The target is only text here; nothing of ours ever follows it.
  ChangeFeed::Own own(feed_.get(), *parent.inode, *name);
  if (symlinkat(*target, parent.get(), *name) != 0) return request.Error(errno);
  fuse_entry_out entry{};
  if (int err = LookupEntry(parent, *name, entry); err != 0) return request.Error(err);
  return request.Ok(entry);
}

Server::Outcome Server::Link(Request& request) {
  fuse_link_in in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  auto name = request.args().ReadString();
  if (!name) return request.Error(EINVAL);
  if (int err = CheckName(*name); err != 0) return request.Error(err);
  if (refuses_writes()) return request.Error(EROFS);
  PinnedInode parent, source;
  if (int err = inodes_.Pin(request.header().nodeid, parent); err != 0) return request.Error(err);
  if (int err = inodes_.Pin(in.oldnodeid, source); err != 0) return request.Error(err);
  ChangeFeed::Own own(feed_.get(), *parent.inode, *name);
  own.Add(*source.inode);
  // Through /proc, so that a file without a name (O_TMPFILE) gets one; it leads to the inode, not
  // on to where a symbolic link points.
  if (linkat(AT_FDCWD, ProcPath(source.get()).get(), parent.get(), *name, AT_SYMLINK_FOLLOW) != 0)
    return request.Error(errno);
  base::UniqueFd path = PathFdOf(source.get());
  if (!path) return request.Error(errno);
  fuse_entry_out entry{};
  PinnedInode linked;
  if (int err = InternEntry(std::move(path), parent.inode->key.mount, entry, &linked); err != 0)
    return request.Error(err);
  if (feed_) feed_->Follow(parent, *name, linked);
  return request.Ok(entry);
}

Server::Outcome Server::Create(Worker& worker, Request& request) {
  fuse_create_in in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  auto name = request.args().ReadString();
  if (!name) return request.Error(EINVAL);
  if (int err = CheckName(*name); err != 0) return request.Error(err);
  if (refuses_writes()) return request.Error(EROFS);
  PinnedInode parent;
  if (int err = inodes_.Pin(request.header().nodeid, parent); err != 0) return request.Error(err);
  if (int err = BecomeCaller(worker, request, in.umask); err != 0) return request.Error(err);

  const int flags = HostOpenFlags(in.flags);
  ChangeFeed::Own own(feed_.get(), *parent.inode, *name);
  fuse_entry_out entry{};
  PinnedInode inode;
  // Exclusive always: what is there already may be a device or a link to elsewhere, and is opened
  // as any inode is.
  base::UniqueFd fd(openat(parent.get(), *name, flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                           in.mode & 07777));
  if (fd) {
    base::UniqueFd path = PathFdOf(fd.get());
    if (!path) return request.Error(errno);
    if (int err = InternEntry(std::move(path), parent.inode->key.mount, entry, &inode); err != 0)
      return request.Error(err);
  } else {
    if (errno != EEXIST || (in.flags & O_EXCL) != 0) return request.Error(errno);
    base::UniqueFd path(openat(parent.get(), *name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!path) return request.Error(errno);
    if (int err = InternEntry(std::move(path), parent.inode->key.mount, entry, &inode); err != 0)
      return request.Error(err);
    worker.credentials.SetFsetid((in.open_flags & FUSE_OPEN_KILL_SUIDGID) == 0);
    int opened = inode.inode->type == S_IFDIR ? -EISDIR : OpenInode(inode, flags);
    if (opened < 0) {
      inodes_.Forget(entry.nodeid, 1);
      return request.Error(-opened);
    }
    fd.Reset(opened);
  }
  if (feed_) feed_->Follow(parent, *name, inode);
  fuse_open_out open{};
  open.open_flags = OpenFlags(*inode.inode, fd.get());
  open.fh = AddHandle(entry.nodeid, std::move(fd), (flags & O_ACCMODE) != O_RDONLY);
  return request.Ok(entry, open);
}

Server::Outcome Server::Tmpfile(Worker& worker, Request& request) {
  fuse_create_in in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  if (refuses_writes()) return request.Error(EROFS);
  PinnedInode parent;
  if (int err = inodes_.Pin(request.header().nodeid, parent); err != 0) return request.Error(err);
  if (int err = BecomeCaller(worker, request, in.umask); err != 0) return request.Error(err);
  const int flags = HostOpenFlags(in.flags) | (static_cast<int>(in.flags) & O_EXCL);
  if ((flags & O_ACCMODE) == O_RDONLY) return request.Error(EINVAL);
  base::UniqueFd fd(openat(parent.get(), ".", flags | O_TMPFILE | O_CLOEXEC, in.mode & 07777));
  if (!fd) return request.Error(errno);
  base::UniqueFd path = PathFdOf(fd.get());
  if (!path) return request.Error(errno);
  fuse_entry_out entry{};
  PinnedInode inode;
  if (int err = InternEntry(std::move(path), parent.inode->key.mount, entry, &inode); err != 0)
    return request.Error(err);
  fuse_open_out open{};
  open.open_flags = OpenFlags(*inode.inode, fd.get());
  open.fh = AddHandle(entry.nodeid, std::move(fd), true);
  return request.Ok(entry, open);
}

Server::Outcome Server::Remove(Request& request, bool directory) {
  auto name = request.args().ReadString();
  if (!name) return request.Error(EINVAL);
  if (int err = CheckName(*name); err != 0) return request.Error(err);
  if (refuses_writes()) return request.Error(EROFS);
  PinnedInode parent;
  if (int err = inodes_.Pin(request.header().nodeid, parent); err != 0) return request.Error(err);
  ChangeFeed::Own own(feed_.get(), *parent.inode, *name);
  if (unlinkat(parent.get(), *name, directory ? AT_REMOVEDIR : 0) != 0) return request.Error(errno);
  return request.Ok();
}

Server::Outcome Server::Rename(Request& request, bool with_flags) {
  fuse_rename2_in in{};
  if (with_flags) {
    if (!request.args().Read(in)) return request.Error(EINVAL);
  } else {
    fuse_rename_in old{};
    if (!request.args().Read(old)) return request.Error(EINVAL);
    in.newdir = old.newdir;
  }
  auto from = request.args().ReadString();
  auto to = from ? request.args().ReadString() : std::nullopt;
  if (!to) return request.Error(EINVAL);
  if (int err = CheckName(*from); err != 0) return request.Error(err);
  if (int err = CheckName(*to); err != 0) return request.Error(err);
  if ((in.flags & ~uint32_t{RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT}) != 0)
    return request.Error(EINVAL);
  if (refuses_writes()) return request.Error(EROFS);
  PinnedInode parent, new_parent;
  if (int err = inodes_.Pin(request.header().nodeid, parent); err != 0) return request.Error(err);
  if (int err = inodes_.Pin(in.newdir, new_parent); err != 0) return request.Error(err);
  ChangeFeed::Own own(feed_.get(), *parent.inode, *from);
  own.Add(*new_parent.inode, *to);
  if (syscall(SYS_renameat2, parent.get(), *from, new_parent.get(), *to, in.flags) != 0)
    return request.Error(errno);
  return request.Ok();
}

}  // namespace holt::fsd
