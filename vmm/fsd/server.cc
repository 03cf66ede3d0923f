#include "vmm/fsd/server.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "vmm/fsd/proc_path.h"

namespace holt::fsd {
namespace {

constexpr uint32_t kDay = 86400;

uint32_t EntrySeconds(Cache cache) {
  switch (cache) {
    case Cache::kNone:
      return 0;
    case Cache::kAuto:
      return 1;
    case Cache::kMetadata:
    case Cache::kAlways:
      return kDay;
  }
  return 0;
}

// What the guest is told when we, not it, ran out of descriptors.
int ToGuestErrno(int err) { return err == EMFILE ? ENFILE : err; }

}  // namespace

Server::Server(const ServerOptions& options, base::UniqueFd root, SlowLane* slow)
    : options_(options),
      root_(std::move(root)),
      slow_(slow),
      inodes_(options.max_inode_fds),
      entry_seconds_(EntrySeconds(options.cache)),
      attr_seconds_(entry_seconds_) {}

base::Result<std::unique_ptr<Server>> Server::Create(const ServerOptions& options,
                                                     base::UniqueFd root, SlowLane* slow) {
  std::unique_ptr<Server> server(new Server(options, std::move(root), slow));
  if (int err = server->inodes_.Reset(server->root_.get()); err != 0)
    return base::ErrnoError(err, "shared directory");
  return server;
}

base::Status Server::WatchVolumes(base::EventLoop& loop, base::UniqueFd inotify,
                                  base::UniqueFd sink, const std::vector<std::string>& volumes) {
  feed_ = std::make_unique<ChangeFeed>(inodes_, std::move(inotify), std::move(sink));
  for (const std::string& volume : volumes) TRY(feed_->AddVolume(root_.get(), volume));
  WatchRoot();
  return feed_->Attach(loop);
}

// The one inode that is never looked up.
void Server::WatchRoot() {
  PinnedInode root;
  if (feed_ && inodes_.Pin(InodeTable::kRootId, root) == 0 && feed_->Covers(root.inode->key))
    feed_->Watch(root);
}

void Server::Reset() {
  if (feed_) feed_->Clear();
  locks_.Clear();
  if (slow_ != nullptr) slow_->Drain();
  handles_.Clear();
  if (int err = inodes_.Reset(root_.get()); err != 0)
    base::log::Error("shared directory: {}", std::strerror(err));
  WatchRoot();
  features_ = 0;
  initialized_ = false;
}

void Server::Cancel(Completer* completer) {
  locks_.Cancel(completer);
  if (slow_ != nullptr) slow_->Drain();
}

std::optional<uint32_t> Server::Handle(Worker& worker, vmm::DescriptorChain& chain) {
  Request request(chain, worker.arguments);
  switch (request.Parse()) {
    case Request::Parsed::kUnanswerable:
      return 0;
    case Request::Parsed::kBad:
      return request.Error(EINVAL);
    case Request::Parsed::kOk:
      break;
  }
  const uint32_t opcode = request.header().opcode;
  if (!initialized_ && opcode != FUSE_INIT) {
    // Nobody waits for an answer to these.
    if (opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_INTERRUPT) return 0;
    return request.Error(EIO);
  }
  if (IsReplay(request.header())) return Replay(worker, request);
  return Dispatch(worker, request);
}

Server::Outcome Server::Dispatch(Worker& worker, Request& request) {
  switch (request.header().opcode) {
    case FUSE_LOOKUP:
      return Lookup(request);
    case FUSE_FORGET:
      return Forget(request);
    case FUSE_BATCH_FORGET:
      return BatchForget(request);
    case FUSE_GETATTR:
      return Getattr(request);
    case kOpStatx:
      return Statx(request);
    case FUSE_SETATTR:
      return Setattr(worker, request);
    case FUSE_READLINK:
      return Readlink(request);
    case FUSE_ACCESS:
      return Access(request);
    case FUSE_SYMLINK:
      return Symlink(worker, request);
    case FUSE_MKNOD:
      return Mknod(worker, request);
    case FUSE_MKDIR:
      return Mkdir(worker, request);
    case FUSE_UNLINK:
      return Remove(request, false);
    case FUSE_RMDIR:
      return Remove(request, true);
    case FUSE_RENAME:
      return Rename(request, false);
    case FUSE_RENAME2:
      return Rename(request, true);
    case FUSE_LINK:
      return Link(request);
    case FUSE_CREATE:
      return Create(worker, request);
    case FUSE_TMPFILE:
      return Tmpfile(worker, request);
    case FUSE_OPEN:
      return Open(worker, request);
    case FUSE_READ:
      return Read(worker, request);
    case FUSE_WRITE:
      return Write(worker, request);
    case FUSE_RELEASE:
      return Release(request, false);
    case FUSE_FLUSH:
      return Flush(request);
    case FUSE_FSYNC:
      return Fsync(worker, request, false);
    case FUSE_FALLOCATE:
      return Fallocate(worker, request);
    case FUSE_LSEEK:
      return Lseek(request);
    case FUSE_COPY_FILE_RANGE:
      return CopyFileRange(worker, request);
    case FUSE_OPENDIR:
      return Opendir(request);
    case FUSE_READDIR:
      return Readdir(worker, request, false);
    case FUSE_READDIRPLUS:
      return Readdir(worker, request, true);
    case FUSE_RELEASEDIR:
      return Release(request, true);
    case FUSE_FSYNCDIR:
      return Fsync(worker, request, true);
    case FUSE_STATFS:
      return Statfs(request);
    case FUSE_SYNCFS:
      return Syncfs(worker, request);
    case FUSE_SETXATTR:
      return Setxattr(worker, request);
    case FUSE_GETXATTR:
      return Getxattr(request);
    case FUSE_LISTXATTR:
      return Listxattr(request);
    case FUSE_REMOVEXATTR:
      return Removexattr(request);
    case FUSE_GETLK:
      return Getlk(request);
    case FUSE_SETLK:
      return Setlk(worker, request, false);
    case FUSE_SETLKW:
      return Setlk(worker, request, true);
    case FUSE_INTERRUPT:
      return Interrupt(request);
    case FUSE_INIT:
      return Init(request);
    case FUSE_DESTROY:
      return Destroy(request);
    // An ioctl's argument is a pointer into a process; what the host's file system makes of it is
    // not for a guest to choose.
    case FUSE_IOCTL:
      return request.Error(ENOTTY);
    // BMAP, POLL and the DAX window: the guest's kernel does without them once it is told so.
    default:
      return request.Error(ENOSYS);
  }
}

int Server::StatInode(int fd, struct statx& out) const {
  if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, kStatxMask, &out) != 0) return errno;
  return 0;
}

void Server::FillAttr(const struct statx& stat, fuse_attr& out) const {
  out.ino = stat.stx_ino;
  out.size = stat.stx_size;
  out.blocks = stat.stx_blocks;
  // Times before 1970 are negative, and stay so on the other side.
  out.atime = static_cast<uint64_t>(stat.stx_atime.tv_sec);
  out.mtime = static_cast<uint64_t>(stat.stx_mtime.tv_sec);
  out.ctime = static_cast<uint64_t>(stat.stx_ctime.tv_sec);
  out.atimensec = stat.stx_atime.tv_nsec;
  out.mtimensec = stat.stx_mtime.tv_nsec;
  out.ctimensec = stat.stx_ctime.tv_nsec;
  out.mode = stat.stx_mode;
  out.nlink = stat.stx_nlink;
  out.uid = stat.stx_uid;
  out.gid = stat.stx_gid;
  // The kernel's new_encode_dev(): what FUSE carries.
  out.rdev = (stat.stx_rdev_minor & 0xff) | (stat.stx_rdev_major << 8) |
             ((stat.stx_rdev_minor & ~0xffu) << 12);
  out.blksize = stat.stx_blksize;
  out.flags = 0;
}

int Server::FillAttrReply(int fd, fuse_attr_out& out) const {
  struct statx stat {};
  if (int err = StatInode(fd, stat); err != 0) return err;
  out = {};
  out.attr_valid = attr_seconds_;
  FillAttr(stat, out.attr);
  return 0;
}

int Server::InternEntry(base::UniqueFd path_fd, uint64_t parent_mount, fuse_entry_out& out,
                        PinnedInode* pinned) {
  struct statx stat {};
  if (int err = StatInode(path_fd.get(), stat); err != 0) return err;
  PinnedInode inode;
  if (int err = inodes_.Intern(std::move(path_fd), stat, inode); err != 0) return err;
  out = {};
  out.nodeid = inode.inode->nodeid;
  out.entry_valid = entry_seconds_;
  out.attr_valid = attr_seconds_;
  FillAttr(stat, out.attr);
  if ((features_ & FUSE_SUBMOUNTS) != 0 && inode.inode->type == S_IFDIR &&
      stat.stx_mnt_id != parent_mount)
    out.attr.flags |= FUSE_ATTR_SUBMOUNT;
  if (pinned != nullptr) *pinned = std::move(inode);
  return 0;
}

int Server::LookupEntry(const PinnedInode& parent, const char* name, fuse_entry_out& out) {
  // One component, not followed: whatever the name stands for, we stay below the parent.
  base::UniqueFd fd(openat(parent.get(), name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) {
    int err = errno;
    if (err == EMFILE || err == ENFILE) {
      static std::atomic<bool> said{false};
      if (!said.exchange(true))
        base::log::Warning(
            "out of file descriptors with {} inodes in use, {} of them open; the guest gets ENFILE",
            inodes_.size(), inodes_.open_fds());
    }
    return ToGuestErrno(err);
  }
  PinnedInode inode;
  int err = InternEntry(std::move(fd), parent.inode->key.mount, out, &inode);
  if (err == 0 && feed_) feed_->Follow(parent, name, inode);
  return err;
}

base::UniqueFd Server::PathFdOf(int fd) {
  return base::UniqueFd(open(ProcPath(fd).get(), O_PATH | O_CLOEXEC));
}

int Server::OpenInode(const PinnedInode& inode, int flags) const {
  // Never a device, a pipe or a socket: opening one acts on the host.
  const bool directory = inode.inode->type == S_IFDIR;
  if (!directory && inode.inode->type != S_IFREG)
    return inode.inode->type == S_IFLNK ? -ELOOP : -ENXIO;
  int fd = open(ProcPath(inode.get()).get(),
                flags | O_CLOEXEC | O_NOCTTY | (directory ? O_DIRECTORY : 0));
  return fd >= 0 ? fd : -ToGuestErrno(errno);
}

uint64_t Server::AddHandle(uint64_t nodeid, base::UniqueFd fd, bool writable) {
  auto file = std::make_shared<OpenFile>();
  file->nodeid = nodeid;
  file->fd = std::move(fd);
  file->writable = writable;
  return handles_.Add(std::move(file));
}

int Server::BecomeCaller(Worker& worker, const Request& request, uint32_t umask) {
  worker.credentials.SetFsetid(true);
  worker.credentials.SetUmask(umask);
  return worker.credentials.Become(request.header().uid, request.header().gid);
}

}  // namespace holt::fsd
