#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "vmm/fsd/change_feed.h"
#include "vmm/fsd/credentials.h"
#include "vmm/fsd/handle_table.h"
#include "vmm/fsd/inode_table.h"
#include "vmm/fsd/lock_table.h"
#include "vmm/fsd/options.h"
#include "vmm/fsd/request.h"
#include "vmm/fsd/slow_lane.h"

namespace holt::fsd {

// Where answers that come later go. Called in any thread; afterwards the chain belongs to the
// callee.
class Completer {
 public:
  virtual ~Completer() = default;
  virtual void Complete(vmm::DescriptorChain chain, uint32_t written) = 0;
};

// What serving one queue needs: the identity of the thread it is served by (shared by all queues of
// that thread) and buffers that are used again.
struct Worker {
  Worker(Credentials& identity, Completer* late) : credentials(identity), completer(late) {}
  Credentials& credentials;
  Completer* completer;
  std::vector<std::byte> arguments;
  std::vector<iovec> iovecs;
};

// A FUSE server over a directory: requests in, replies out, nothing about the way they travel.
// Handle() may be called by several threads, each with Workers of its own.
class Server {
 public:
  // `root`: a descriptor of the shared directory, kept. `slow` runs what would block for long.
  static base::Result<std::unique_ptr<Server>> Create(const ServerOptions& options,
                                                      base::UniqueFd root, SlowLane* slow);

  // The reply's length, written to the chain; or nothing: the chain was moved away and its answer
  // goes to the worker's completer. Errors of the request are answers; nothing a guest sends ends
  // us.
  std::optional<uint32_t> Handle(Worker& worker, vmm::DescriptorChain& chain);

  // Answers what waits (locks) with EINTR, and returns when no answer for `completer` is
  // outstanding.
  void Cancel(Completer* completer);
  // Tries the locks again that are waited for. True when some still wait.
  bool RetryLocks() { return locks_.Retry(); }
  bool LocksWaiting() const { return locks_.waiting(); }

  // Forgets the guest: its inodes, handles and locks.
  void Reset();

  // Tells `sink` of changes that the host makes to `volumes` (paths below the root); one queue
  // only.
  base::Status WatchVolumes(base::EventLoop& loop, base::UniqueFd inotify, base::UniqueFd sink,
                            const std::vector<std::string>& volumes);
  ChangeFeed* feed_for_test() { return feed_.get(); }

  size_t inode_count() const { return inodes_.size(); }
  size_t open_inode_fds() const { return inodes_.open_fds(); }
  size_t handle_count() const { return handles_.size(); }

 private:
  using Outcome = std::optional<uint32_t>;

  Server(const ServerOptions& options, base::UniqueFd root, SlowLane* slow);
  Outcome Dispatch(Worker& worker, Request& request);
  void WatchRoot();

  // server_init.cc
  Outcome Init(Request& request);
  Outcome Destroy(Request& request);
  Outcome Statfs(Request& request);
  Outcome Syncfs(Worker& worker, Request& request);
  Outcome Interrupt(Request& request);

  // server_inode.cc
  Outcome Lookup(Request& request);
  Outcome Forget(Request& request);
  Outcome BatchForget(Request& request);
  Outcome Getattr(Request& request);
  Outcome Statx(Request& request);
  Outcome Setattr(Worker& worker, Request& request);
  Outcome Readlink(Request& request);
  Outcome Access(Request& request);

  // server_create.cc
  Outcome Mknod(Worker& worker, Request& request);
  Outcome Mkdir(Worker& worker, Request& request);
  Outcome Symlink(Worker& worker, Request& request);
  Outcome Link(Request& request);
  Outcome Create(Worker& worker, Request& request);
  Outcome Tmpfile(Worker& worker, Request& request);
  Outcome Remove(Request& request, bool directory);
  Outcome Rename(Request& request, bool with_flags);

  // server_file.cc
  Outcome Open(Worker& worker, Request& request);
  Outcome Read(Worker& worker, Request& request);
  Outcome Write(Worker& worker, Request& request);
  Outcome Release(Request& request, bool directory);
  Outcome Flush(Request& request);
  Outcome Fsync(Worker& worker, Request& request, bool directory);
  Outcome Fallocate(Worker& worker, Request& request);
  Outcome Lseek(Request& request);
  Outcome CopyFileRange(Worker& worker, Request& request);

  // server_directory.cc
  Outcome Opendir(Request& request);
  Outcome Readdir(Worker& worker, Request& request, bool plus);

  // server_xattr.cc
  Outcome Setxattr(Worker& worker, Request& request);
  Outcome Getxattr(Request& request);
  Outcome Listxattr(Request& request);
  Outcome Removexattr(Request& request);

  // server_replay.cc
  bool IsReplay(const fuse_in_header& header) const;
  Outcome Replay(Worker& worker, Request& request);
  Outcome ReplayLookup(Request& request);
  Outcome ReplayMake(Request& request);
  Outcome ReplayRename(Request& request);
  Outcome ReplayOpen(Request& request);
  // An entry for what is not there: nobody will find anything under its number.
  void FillStandIn(mode_t type, fuse_entry_out& out);
  // What the guest knew by `name` in `parent`, with one lookup more, if it is not what is there
  // `now`.
  bool FillKnown(uint64_t parent, const char* name, const fuse_entry_out& now, fuse_entry_out& out);

  // server_lock.cc
  Outcome Getlk(Request& request);
  Outcome Setlk(Worker& worker, Request& request, bool wait);

  // Looks `name` up in `parent` and makes its entry. 0 or an errno.
  int LookupEntry(const PinnedInode& parent, const char* name, fuse_entry_out& out);
  // The entry of what was just made or opened; adds a lookup to it.
  int InternEntry(base::UniqueFd path_fd, uint64_t parent_mount, fuse_entry_out& out,
                  PinnedInode* pinned);
  // O_PATH of what `fd` has open.
  static base::UniqueFd PathFdOf(int fd);
  int StatInode(int fd, struct statx& out) const;
  void FillAttr(const struct statx& stat, fuse_attr& out) const;
  int FillAttrReply(int fd, fuse_attr_out& out) const;
  // Opens the file behind an inode anew. A negative errno, or the descriptor.
  int OpenInode(const PinnedInode& inode, int flags) const;
  uint64_t AddHandle(uint64_t nodeid, base::UniqueFd fd, bool writable);
  ChangeFeed::Own OwnChangeOf(const OpenFile& file);
  // FOPEN_* for a file just opened.
  uint32_t OpenFlags(Inode& inode, int fd);
  // Reads the guest's open flags as ours.
  int HostOpenFlags(uint32_t guest_flags) const;
  // Runs `work` (which returns 0 or a positive errno) off the loop and answers with its result.
  template <typename Work>
  Outcome Later(Worker& worker, Request& request, Work work);
  // Takes the identity that a new file is to have.
  int BecomeCaller(Worker& worker, const Request& request, uint32_t umask);
  bool refuses_writes() const { return options_.read_only; }

  const ServerOptions options_;
  base::UniqueFd root_;
  SlowLane* slow_;
  InodeTable inodes_;
  HandleTable handles_;
  LockTable locks_;
  std::unique_ptr<ChangeFeed> feed_;  // null: nobody asked for changes
  uint64_t stand_ins_ = 0;

  std::atomic<bool> initialized_{false};
  std::atomic<uint64_t> features_{0};  // FUSE_* INIT flags both sides have
  uint32_t entry_seconds_;
  uint32_t attr_seconds_;
};

}  // namespace holt::fsd
