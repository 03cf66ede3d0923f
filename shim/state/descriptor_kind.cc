#include "shim/state/descriptor_kind.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace holt::shim {
namespace {

using base::Code;
using base::Result;

base::Error Unsupported(std::string_view what) {
  return base::MakeError(Code::kUnsupported,
                         "is {}: not supported: what a process in a machine can have are pipes, "
                         "stream sockets and /dev/null",
                         what);
}

int SocketOption(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

Result<DescriptorKind> KindOfSocket(int fd) {
  if (SocketOption(fd, SO_TYPE) != SOCK_STREAM) return Unsupported("a socket of datagrams");
  if (SocketOption(fd, SO_ACCEPTCONN) == 1) {
    const int family = SocketOption(fd, SO_DOMAIN);
    if (family == AF_UNIX || family == AF_INET || family == AF_INET6)
      return DescriptorKind::kListener;
    return Unsupported(fmt::format("a listening socket of family {}", family));
  }
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  // SAFETY: sockets take every kind of address as a sockaddr.
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0)
    return Unsupported("a socket that neither listens nor is connected");
  return DescriptorKind::kConnection;
}

}  // namespace

Result<DescriptorKind> KindOfDescriptor(int fd) {
  struct stat st {};
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fstat(fd, &st) != 0) return HOLT_ERRNO("fstat");
  if ((flags & O_PATH) != 0) return Unsupported("a path (O_PATH)");
  switch (st.st_mode & S_IFMT) {
    case S_IFIFO:
      switch (flags & O_ACCMODE) {
        case O_RDONLY:
          return DescriptorKind::kInput;
        case O_WRONLY:
          return DescriptorKind::kOutput;
        default:
          return Unsupported("a FIFO that is open both ways");
      }
    case S_IFSOCK:
      return KindOfSocket(fd);
    case S_IFCHR:
      if (st.st_rdev == makedev(1, 3)) return DescriptorKind::kNull;
      return Unsupported(isatty(fd) != 0 ? "a terminal" : "a character device");
    case S_IFBLK:
      return Unsupported("a block device");
    case S_IFDIR:
      return Unsupported("a directory");
    case S_IFREG:
      return Unsupported("a regular file");
    default:
      return Unsupported("of no kind that has a name");  // eventfd, epoll, timerfd
  }
}

}  // namespace holt::shim
