#include "shim/state/notify_socket.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

#include "base/file.h"
#include "shim/state/volumes.h"

namespace holt::shim {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::UniqueFd;

struct Address {
  sockaddr_un address{};
  socklen_t size = 0;
};

// Both kinds fit: what is too long for an abstract name is refused when it is opened.
Address AddressOf(const NotifySocket& socket) {
  Address out;
  out.address.sun_family = AF_UNIX;
  std::string name = socket.node ? fmt::format("/proc/self/fd/{}", socket.node.get())
                                 : '\0' + socket.abstract_name;
  std::memcpy(out.address.sun_path, name.data(), name.size());
  out.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  return out;
}

// That it takes datagrams and somebody is there.
base::Status Try(const NotifySocket& socket, const std::string& what) {
  UniqueFd probe(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const Address to = AddressOf(socket);
  // SAFETY: sockets take every kind of address as a sockaddr.
  if (!probe || connect(probe.get(), reinterpret_cast<const sockaddr*>(&to.address), to.size) != 0)
    return HOLT_ERRNO("{}", what);
  return {};
}

Result<NotifySocket> FromNode(UniqueFd node, const std::string& what) {
  struct stat st {};
  if (fstat(node.get(), &st) != 0) return HOLT_ERRNO("{}", what);
  if (!S_ISSOCK(st.st_mode)) return MakeError(Code::kInvalidArgument, "{}: is not a socket", what);
  NotifySocket socket{std::move(node), "", st.st_mode & 07777, st.st_uid, st.st_gid};
  TRY(Try(socket, what));
  return socket;
}

}  // namespace

Result<NotifySocket> OpenNotifySocket(const std::string& address) {
  if (address.starts_with('@')) {
    NotifySocket socket;
    socket.abstract_name = address.substr(1);
    if (address.size() < 2 || address.size() > sizeof(sockaddr_un::sun_path))
      return MakeError(Code::kInvalidArgument, "{}: is no name of a socket", address);
    TRY(Try(socket, address));
    return socket;
  }
  if (!address.starts_with('/'))
    return MakeError(Code::kInvalidArgument, "{}: is neither a path nor a name", address);
  TRY_ASSIGN(UniqueFd node, base::Open(address, O_PATH));
  return FromNode(std::move(node), address);
}

Result<NotifySocket> OpenNotifySocketBelow(int root, const std::string& path) {
  TRY_ASSIGN(UniqueFd node,
             base::OpenAt2(root, path, O_PATH | O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS));
  return FromNode(std::move(node), path);
}

int SendNotification(int socket, const NotifySocket& to, std::string_view text, pid_t sender,
                     int fd) {
  Address address = AddressOf(to);
  iovec data{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_name = &address.address;
  message.msg_namelen = address.size;
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  size_t used = 0;
  auto attach = [&](int type, const void* what, size_t size) {
    // SAFETY: `control` has room for both, and what is before `used` is a multiple of its
    // alignment.
    auto* header = reinterpret_cast<cmsghdr*>(control + used);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = type;
    header->cmsg_len = CMSG_LEN(size);
    std::memcpy(CMSG_DATA(header), what, size);
    used += CMSG_SPACE(size);
  };
  const ucred credentials{sender, geteuid(), getegid()};
  if (sender != 0) attach(SCM_CREDENTIALS, &credentials, sizeof credentials);
  if (fd >= 0) attach(SCM_RIGHTS, &fd, sizeof fd);
  if (used != 0) message.msg_control = control;
  message.msg_controllen = used;
  ssize_t sent;
  do {
    sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? errno : 0;
}

std::optional<NotifyVariable> FindNotifyVariable(const oci::Config& config) {
  if (!config.process) return std::nullopt;
  NotifyVariable found;
  const std::string name = std::string(kNotifyVariable) + "=";
  for (const std::string& variable : config.process->env)
    if (variable.starts_with(name)) found.path = variable.substr(name.size());
  // Only as it is written: who has one put it there by its name.
  if (!found.path.starts_with('/') || (found.path + "/").find("/../") != std::string::npos)
    return std::nullopt;
  const oci::Mount* on_top = nullptr;
  for (const oci::Mount& mount : config.mounts) {
    std::string place = mount.destination;
    while (place.ends_with('/')) place.pop_back();
    if (found.path != place && !found.path.starts_with(place + "/")) continue;
    on_top = &mount;
    found.below = found.path.substr(std::min(place.size() + 1, found.path.size()));
  }
  if (on_top == nullptr || !IsBind(*on_top)) return std::nullopt;
  found.source = on_top->source;
  return found;
}

}  // namespace holt::shim
