// Requests about the whole file system.
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/log.h"
#include "vmm/fsd/proc_path.h"
#include "vmm/fsd/server.h"
#include "vmm/fsd/server_later.h"

namespace holt::fsd {
namespace {

constexpr uint32_t kMaxWrite = 1 << 20;
constexpr uint16_t kMaxPages = kMaxWrite / 4096;
// Read-ahead and write-back requests the guest may have under way; its own limit would be 12.
constexpr uint16_t kMaxBackground = 128;

}  // namespace

Server::Outcome Server::Init(Request& request) {
  fuse_init_in in{};
  // Before 7.36 the structure ended after the flags.
  constexpr size_t kShort = offsetof(fuse_init_in, flags2);
  if (!request.args().ReadPrefix(in, std::min(request.args().left(), sizeof in)) ||
      request.header().len < sizeof(fuse_in_header) + kShort)
    return request.Error(EINVAL);

  fuse_init_out out{};
  out.major = kFuseMajor;
  out.minor = kFuseMinor;
  // A newer kernel asks again in the version we answer with.
  if (in.major > kFuseMajor) return request.Ok(out);
  if (in.major < kFuseMajor || in.minor < kFuseOldestMinor) {
    base::log::Error("the guest speaks FUSE {}.{}, 7.{} is the oldest served", in.major, in.minor,
                     kFuseOldestMinor);
    return request.Error(EPROTO);
  }
  // A guest that starts over (a reboot, a second mount) left everything behind.
  Reset();

  const uint64_t offered =
      in.flags | ((in.flags & FUSE_INIT_EXT) != 0 ? uint64_t{in.flags2} << 32 : 0);
  uint64_t wanted = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ATOMIC_O_TRUNC | FUSE_DONT_MASK |
                    FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_DO_READDIRPLUS |
                    FUSE_READDIRPLUS_AUTO | FUSE_HANDLE_KILLPRIV_V2 | FUSE_SUBMOUNTS |
                    FUSE_SETXATTR_EXT | FUSE_INIT_EXT | FUSE_CACHE_SYMLINKS |
                    kInitDirectIoAllowMmap;
  if (options_.cache == Cache::kAuto) wanted |= FUSE_AUTO_INVAL_DATA;
  if (options_.posix_acl) wanted |= FUSE_POSIX_ACL;
  if (options_.locks == Locks::kHost) wanted |= FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS;
  if (options_.writeback) wanted |= FUSE_WRITEBACK_CACHE;
  const uint64_t features = wanted & offered;

  out.max_readahead = in.max_readahead;
  out.flags = static_cast<uint32_t>(features);
  out.flags2 = static_cast<uint32_t>(features >> 32);
  out.max_background = kMaxBackground;
  out.congestion_threshold = kMaxBackground * 3 / 4;
  out.max_write = kMaxWrite;
  out.max_pages = kMaxPages;
  out.time_gran = 1;
  features_ = features;
  initialized_ = true;
  base::log::Debug("guest speaks FUSE {}.{}, features {:#x} of {:#x}", in.major, in.minor, features,
                   offered);
  return request.Ok(out);
}

Server::Outcome Server::Destroy(Request& request) {
  Reset();
  return request.Ok();
}

Server::Outcome Server::Statfs(Request& request) {
  PinnedInode inode;
  if (int err = inodes_.Pin(request.header().nodeid, inode); err != 0) return request.Error(err);
  struct statvfs stat {};
  if (fstatvfs(inode.get(), &stat) != 0) return request.Error(errno);
  fuse_statfs_out out{};
  out.st.blocks = stat.f_blocks;
  out.st.bfree = stat.f_bfree;
  out.st.bavail = stat.f_bavail;
  out.st.files = stat.f_files;
  out.st.ffree = stat.f_ffree;
  out.st.bsize = static_cast<uint32_t>(stat.f_bsize);
  out.st.namelen = static_cast<uint32_t>(stat.f_namemax);
  out.st.frsize = static_cast<uint32_t>(stat.f_frsize);
  return request.Ok(out);
}

Server::Outcome Server::Syncfs(Worker& worker, Request& request) {
  PinnedInode inode;
  if (int err = inodes_.Pin(request.header().nodeid, inode); err != 0) return request.Error(err);
  // syncfs() does not take O_PATH.
  int fd = OpenInode(inode, O_RDONLY);
  if (fd < 0) return request.Error(-fd);
  auto file = std::make_shared<base::UniqueFd>(fd);
  return Later(worker, request,
               [file](std::string&) { return syncfs(file->get()) == 0 ? 0 : errno; });
}

Server::Outcome Server::Interrupt(Request& request) {
  fuse_interrupt_in in{};
  if (request.args().Read(in)) locks_.Interrupt(in.unique);
  return 0;  // has no reply
}

}  // namespace holt::fsd
