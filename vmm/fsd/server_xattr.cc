// Extended attributes. Through /proc, because O_PATH descriptors do not take the f*xattr calls and
// a device must not be opened for them. Which names may be read and set is for the host's kernel to
// say, with the capabilities that were left to us.
#include <linux/limits.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cerrno>
#include <cstring>

#include "vmm/fsd/proc_path.h"
#include "vmm/fsd/server.h"

namespace holt::fsd {
namespace {

bool ValidXattrName(const char* name) {
  size_t length = strnlen(name, XATTR_NAME_MAX + 1);
  return length != 0 && length <= XATTR_NAME_MAX;
}

}  // namespace

Server::Outcome Server::Setxattr(Worker& worker, Request& request) {
  fuse_setxattr_in in{};
  const bool extended = (features_ & FUSE_SETXATTR_EXT) != 0;
  if (!request.args().ReadPrefix(in, extended ? sizeof in : FUSE_COMPAT_SETXATTR_IN_SIZE))
    return request.Error(EINVAL);
  auto name = request.args().ReadString();
  if (!name || !ValidXattrName(*name)) return request.Error(EINVAL);
  if (in.size > XATTR_SIZE_MAX) return request.Error(E2BIG);
  auto value = request.args().ReadBytes(in.size);
  if (!value) return request.Error(EINVAL);
  if (refuses_writes()) return request.Error(EROFS);
  PinnedInode inode;
  if (int err = inodes_.Pin(request.header().nodeid, inode); err != 0) return request.Error(err);
  const ProcPath path(inode.get());
  ChangeFeed::Own own(feed_.get(), *inode.inode);
  worker.credentials.SetFsetid(true);
  if (setxattr(path.get(), *name, value->data(), value->size(), static_cast<int>(in.flags)) != 0)
    return request.Error(errno);
  if ((in.setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID) != 0) {
    struct statx stat {};
    if (StatInode(inode.get(), stat) == 0 && (stat.stx_mode & S_ISGID) != 0 &&
        chmod(path.get(), stat.stx_mode & 07777 & ~S_ISGID) != 0)
      return request.Error(errno);
  }
  return request.Ok();
}

Server::Outcome Server::Getxattr(Request& request) {
  fuse_getxattr_in in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  auto name = request.args().ReadString();
  if (!name || !ValidXattrName(*name)) return request.Error(EINVAL);
  PinnedInode inode;
  if (int err = inodes_.Pin(request.header().nodeid, inode); err != 0) return request.Error(err);
  std::vector<std::byte> value(std::min<size_t>(in.size, XATTR_SIZE_MAX));
  ssize_t n = getxattr(ProcPath(inode.get()).get(), *name, value.data(), value.size());
  if (n < 0) return request.Error(errno);
  if (in.size == 0) return request.Ok(fuse_getxattr_out{static_cast<uint32_t>(n), 0});
  return request.OkBytes(std::span(value).first(static_cast<size_t>(n)));
}

Server::Outcome Server::Listxattr(Request& request) {
  fuse_getxattr_in in{};
  if (!request.args().Read(in)) return request.Error(EINVAL);
  PinnedInode inode;
  if (int err = inodes_.Pin(request.header().nodeid, inode); err != 0) return request.Error(err);
  std::vector<char> names(std::min<size_t>(in.size, XATTR_LIST_MAX));
  ssize_t n = listxattr(ProcPath(inode.get()).get(), names.data(), names.size());
  if (n < 0) return request.Error(errno);
  if (in.size == 0) return request.Ok(fuse_getxattr_out{static_cast<uint32_t>(n), 0});
  return request.OkBytes(std::as_bytes(std::span(names).first(static_cast<size_t>(n))));
}

Server::Outcome Server::Removexattr(Request& request) {
  auto name = request.args().ReadString();
  if (!name || !ValidXattrName(*name)) return request.Error(EINVAL);
  if (refuses_writes()) return request.Error(EROFS);
  PinnedInode inode;
  if (int err = inodes_.Pin(request.header().nodeid, inode); err != 0) return request.Error(err);
  ChangeFeed::Own own(feed_.get(), *inode.inode);
  if (removexattr(ProcPath(inode.get()).get(), *name) != 0) return request.Error(errno);
  return request.Ok();
}

}  // namespace holt::fsd
