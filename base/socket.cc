#include "base/socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "base/file.h"

namespace holt::base {
namespace {

// A sockaddr_un for `path`. Holds the parent directory open while the address goes through
// /proc/self/fd, which paths over 107 bytes need.
struct UnixAddress {
  sockaddr_un addr{};
  socklen_t length = 0;
  UniqueFd parent;
};

Result<UnixAddress> MakeAddress(const std::string& path) {
  UnixAddress out;
  out.addr.sun_family = AF_UNIX;
  std::string name = path;
  if (name.size() >= sizeof out.addr.sun_path) {
    size_t slash = path.find_last_of('/');
    if (slash == std::string::npos) return ErrnoError(ENAMETOOLONG, path);
    TRY_ASSIGN(out.parent, Open(path.substr(0, slash), O_PATH | O_DIRECTORY));
    name = fmt::format("/proc/self/fd/{}/{}", out.parent.get(), path.substr(slash + 1));
    if (name.size() >= sizeof out.addr.sun_path) return ErrnoError(ENAMETOOLONG, path);
  }
  std::memcpy(out.addr.sun_path, name.c_str(), name.size() + 1);
  out.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + 1);
  return out;
}

Result<UniqueFd> BindUnix(const std::string& path, int type) {
  TRY_ASSIGN(UnixAddress address, MakeAddress(path));
  UniqueFd fd(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return HOLT_ERRNO("socket");
  struct stat st {};
  if (lstat(path.c_str(), &st) == 0 && S_ISSOCK(st.st_mode)) unlink(path.c_str());
  // bind() creates the node with the mode of the socket, so nobody can connect before a chmod.
  if (fchmod(fd.get(), 0600) != 0) return HOLT_ERRNO("chmod socket");
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address.addr), address.length) != 0)
    return HOLT_ERRNO("bind {}", path);
  return fd;
}

}  // namespace

Result<std::pair<UniqueFd, UniqueFd>> SocketPair() {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) return HOLT_ERRNO("socketpair");
  return std::pair(UniqueFd(fds[0]), UniqueFd(fds[1]));
}

Result<UniqueFd> ListenUnix(const std::string& path, int backlog) {
  TRY_ASSIGN(UniqueFd fd, BindUnix(path, SOCK_STREAM));
  if (listen(fd.get(), backlog) != 0) return HOLT_ERRNO("listen {}", path);
  return fd;
}

Result<UniqueFd> BindDatagramUnix(const std::string& path) { return BindUnix(path, SOCK_DGRAM); }

Result<UniqueFd> ConnectUnix(const std::string& path, int flags) {
  TRY_ASSIGN(UnixAddress address, MakeAddress(path));
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  if (!fd) return HOLT_ERRNO("socket");
  while (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address.addr), address.length) != 0) {
    if (errno == EINTR) continue;
    return HOLT_ERRNO("connect {}", path);
  }
  return fd;
}

Result<UniqueFd> AcceptUnix(int listener) {
  while (true) {
    UniqueFd fd(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd) return fd;
    if (errno == EINTR) continue;
    int err = errno;
    if (err == EAGAIN || err == ECONNABORTED) return Error(Code::kUnavailable, "accept: none", err);
    return ErrnoError(err, "accept");
  }
}

Status SendWithFds(int socket, std::string_view data, std::span<const int> fds) {
  iovec iov{const_cast<char*>(data.data()), data.size()};
  msghdr message{};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  std::vector<char> control(CMSG_SPACE(fds.size_bytes()));
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  while (true) {
    ssize_t n = sendmsg(socket, &message, MSG_NOSIGNAL);
    if (n == static_cast<ssize_t>(data.size())) return {};
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return HOLT_ERRNO("sendmsg");
    return WriteFd(socket, data.substr(static_cast<size_t>(n)));
  }
}

Result<MessageWithFds> ReceiveWithFds(int socket, size_t max_bytes, size_t max_fds) {
  MessageWithFds out;
  out.data.resize(max_bytes);
  iovec iov{out.data.data(), out.data.size()};
  msghdr message{};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  std::vector<char> control(CMSG_SPACE(sizeof(int) * std::max<size_t>(max_fds, 1)));
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t n;
  do {
    n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return HOLT_ERRNO("recvmsg");
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      out.fds.emplace_back(fd);
    }
  }
  if ((message.msg_flags & MSG_CTRUNC) != 0 || out.fds.size() > max_fds)
    return Error(Code::kResourceExhausted, "recvmsg: more file descriptors than expected");
  out.data.resize(static_cast<size_t>(n));
  return out;
}

Result<PeerCredentials> GetPeerCredentials(int socket) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0)
    return HOLT_ERRNO("SO_PEERCRED");
  return PeerCredentials{credentials.pid, credentials.uid, credentials.gid};
}

}  // namespace holt::base
