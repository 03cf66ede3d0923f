// Requests of the guest's agent that let a change of the host's happen again, for the guest's
// inotify watchers (docs/adr/0110-changes-are-replayed.md). Nothing here changes a file: each is
// answered as the guest's kernel wants to hear it, from what is there now and what the guest knew.
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "vmm/fsd/server.h"

namespace holt::fsd {

using rpc::Past;

bool Server::IsReplay(const fuse_in_header& header) const {
  return options_.replays && header.uid == rpc::kReplayUid && header.gid >= rpc::kReplayGid &&
         header.gid < rpc::kReplayGid + rpc::kPasts;
}

Server::Outcome Server::Replay(Worker& worker, Request& request) {
  switch (request.header().opcode) {
    case FUSE_LOOKUP:
      return ReplayLookup(request);
    case FUSE_OPEN:
      return ReplayOpen(request);
    case FUSE_SETATTR: {
      PinnedInode inode;
      fuse_attr_out out{};
      if (int err = inodes_.Pin(request.header().nodeid, inode); err != 0)
        return request.Error(err);
      if (int err = FillAttrReply(inode.get(), out); err != 0) return request.Error(err);
      return request.Ok(out);
    }
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_SYMLINK:
      return ReplayMake(request);
    case FUSE_UNLINK:
    case FUSE_RMDIR: {
      auto name = request.args().ReadString();
      if (!name) return request.Error(EINVAL);
      inodes_.ForgetName(request.header().nodeid, *name);
      return request.Ok();
    }
    case FUSE_RENAME:
    case FUSE_RENAME2:
      return ReplayRename(request);
    // What only looks, and what ends an open.
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
    case FUSE_GETATTR:
    case kOpStatx:
    case FUSE_ACCESS:
    case FUSE_STATFS:
    case FUSE_GETXATTR:
    case FUSE_READLINK:
    case FUSE_FLUSH:
    case FUSE_RELEASE:
      return Dispatch(worker, request);
    default:
      return request.Error(EPERM);
  }
}

void Server::FillStandIn(mode_t type, fuse_entry_out& out) {
  // Slot 0 of the inode table is never used: whatever else is asked of this number is stale.
  out = {};
  out.nodeid = ++stand_ins_ << 32;
  out.attr.ino = stand_ins_;
  out.attr.mode = type | (type == S_IFDIR ? 0700 : 0600);
  out.attr.nlink = type == S_IFDIR ? 2 : 1;
}

bool Server::FillKnown(uint64_t parent, const char* name, const fuse_entry_out& now,
                       fuse_entry_out& out) {
  const uint64_t known = inodes_.FindName(parent, name);
  PinnedInode inode;
  if (known == 0 || known == now.nodeid || inodes_.Ref(known, inode) != 0) return false;
  struct statx stat {};
  if (StatInode(inode.get(), stat) != 0) {
    inodes_.Forget(known, 1);
    return false;
  }
  out = {};
  out.nodeid = known;
  out.entry_valid = entry_seconds_;
  FillAttr(stat, out.attr);
  return true;
}

Server::Outcome Server::ReplayLookup(Request& request) {
  auto name = request.args().ReadString();
  if (!name) return request.Error(EINVAL);
  if (int err = CheckName(*name); err != 0) return request.Error(err);
  const uint64_t parent_id = request.header().nodeid;
  PinnedInode parent;
  if (int err = inodes_.Pin(parent_id, parent); err != 0) return request.Error(err);
  const auto past = static_cast<Past>(request.header().gid - rpc::kReplayGid);
  if (past == Past::kAbsent) return request.Error(ENOENT);
  fuse_entry_out now{};
  // Not followed by the feed: what the guest knew by this name is what is asked about.
  base::UniqueFd fd(openat(parent.get(), *name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  const bool there = fd && InternEntry(std::move(fd), parent.inode->key.mount, now, nullptr) == 0;
  if (past == Past::kNow) return there ? request.Ok(now) : request.Error(ENOENT);
  fuse_entry_out before{};
  const bool known = FillKnown(parent_id, *name, now, before);
  if (there) inodes_.Forget(now.nodeid, 1);
  if (known) {
    const bool fits = past == Past::kReplaced || past == Past::kKnown ||
                      S_ISDIR(before.attr.mode) == (past == Past::kDirectory);
    if (fits) return request.Ok(before);
    inodes_.Forget(before.nodeid, 1);
  }
  if (past == Past::kReplaced || past == Past::kKnown) return request.Error(ENOENT);
  FillStandIn(past == Past::kDirectory ? S_IFDIR : S_IFREG, before);
  return request.Ok(before);
}

Server::Outcome Server::ReplayMake(Request& request) {
  mode_t type = S_IFDIR;
  if (request.header().opcode == FUSE_MKNOD) {
    fuse_mknod_in in{};
    if (!request.args().Read(in)) return request.Error(EINVAL);
    type = in.mode & S_IFMT;
  } else if (request.header().opcode == FUSE_MKDIR) {
    fuse_mkdir_in in{};
    if (!request.args().Read(in)) return request.Error(EINVAL);
  } else {
    type = S_IFLNK;
  }
  auto name = request.args().ReadString();
  if (!name) return request.Error(EINVAL);
  if (int err = CheckName(*name); err != 0) return request.Error(err);
  // With another Past mkdir(2) is only a look that the guest's cache does not answer.
  if (request.header().gid != rpc::kReplayGid + static_cast<uint32_t>(Past::kAbsent))
    return request.Error(EPERM);
  PinnedInode parent;
  if (int err = inodes_.Pin(request.header().nodeid, parent); err != 0) return request.Error(err);
  fuse_entry_out entry{};
  if (LookupEntry(parent, *name, entry) == 0) {
    if ((entry.attr.mode & S_IFMT) == type) return request.Ok(entry);
    inodes_.Forget(entry.nodeid, 1);
  }
  // It is gone already, or something else.
  FillStandIn(type, entry);
  return request.Ok(entry);
}

Server::Outcome Server::ReplayRename(Request& request) {
  uint64_t new_parent = 0;
  if (request.header().opcode == FUSE_RENAME) {
    fuse_rename_in in{};
    if (!request.args().Read(in)) return request.Error(EINVAL);
    new_parent = in.newdir;
  } else {
    fuse_rename2_in in{};
    if (!request.args().Read(in)) return request.Error(EINVAL);
    new_parent = in.newdir;
  }
  auto from = request.args().ReadString();
  auto to = from ? request.args().ReadString() : std::nullopt;
  if (!to) return request.Error(EINVAL);
  PinnedInode inode;
  const uint64_t moved = inodes_.FindName(request.header().nodeid, *from);
  if (moved != 0 && inodes_.Pin(moved, inode) == 0) inodes_.SetName(inode.inode, new_parent, *to);
  return request.Ok();
}

Server::Outcome Server::ReplayOpen(Request& request) {
  PinnedInode inode;
  if (int err = inodes_.Pin(request.header().nodeid, inode); err != 0) return request.Error(err);
  if (inode.inode->type == S_IFDIR) return request.Error(EISDIR);
  // However the guest opens it.
  base::UniqueFd fd(OpenInode(inode, O_RDONLY));
  if (!fd) return request.Error(-fd.get());
  fuse_open_out out{};
  out.open_flags = OpenFlags(*inode.inode, fd.get());
  out.fh = AddHandle(request.header().nodeid, std::move(fd), false);
  return request.Ok(out);
}

}  // namespace holt::fsd
