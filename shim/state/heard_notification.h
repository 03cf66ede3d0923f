#pragma once

// For tests: what somebody hears at NOTIFY_SOCKET, as systemd does.

#include <sys/socket.h>

#include <cstring>
#include <string>

#include "base/unique_fd.h"

namespace holt::shim {

struct HeardNotification {
  std::string text;  // "": there is none
  pid_t sender = 0;
  base::UniqueFd descriptor;
};

// The next one on a socket with SO_PASSCRED.
inline HeardNotification HearNotification(int socket) {
  HeardNotification heard;
  char buffer[8192];
  alignas(cmsghdr) char control[256];
  iovec data{buffer, sizeof buffer};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t n = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0) return heard;
  heard.text.assign(buffer, static_cast<size_t>(n));
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_type == SCM_CREDENTIALS) {
      ucred credentials;
      std::memcpy(&credentials, CMSG_DATA(part), sizeof credentials);
      heard.sender = credentials.pid;
    } else if (part->cmsg_type == SCM_RIGHTS) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(part), sizeof fd);
      heard.descriptor = base::UniqueFd(fd);
    }
  }
  return heard;
}

}  // namespace holt::shim
