#pragma once

// Somebody on the host who waits at NOTIFY_SOCKET, as systemd does.

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstring>
#include <string>

#include "base/socket.h"

namespace holt {

class NotifyHost {
 public:
  explicit NotifyHost(std::string path) : path_(std::move(path)) {
    auto socket = base::BindDatagramUnix(path_);
    EXPECT_TRUE(socket.ok());
    if (socket) socket_ = std::move(*socket);
    const int on = 1;
    EXPECT_EQ(setsockopt(socket_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
  }
  const std::string& path() const { return path_; }
  std::string Variable() const { return "NOTIFY_SOCKET=" + path_; }

  // The next that is said; "" when nothing is, for `patience` ms.
  std::string Next(int patience = 60'000) {
    pollfd ready{socket_.get(), POLLIN, 0};
    if (poll(&ready, 1, patience) != 1) return "";
    char buffer[8192];
    alignas(cmsghdr) char control[256];
    iovec data{buffer, sizeof buffer};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t n = recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0) return "";
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
      if (part->cmsg_type == SCM_CREDENTIALS) {
        ucred credentials;
        std::memcpy(&credentials, CMSG_DATA(part), sizeof credentials);
        sender_ = credentials.pid;
      } else if (part->cmsg_type == SCM_RIGHTS) {
        int fd;
        std::memcpy(&fd, CMSG_DATA(part), sizeof fd);
        descriptor_ = base::UniqueFd(fd);
      }
    }
    return std::string(buffer, static_cast<size_t>(n));
  }
  // Of the last one.
  pid_t sender() const { return sender_; }
  // The last that came with one.
  base::UniqueFd& descriptor() { return descriptor_; }

 private:
  std::string path_;
  base::UniqueFd socket_;
  base::UniqueFd descriptor_;
  pid_t sender_ = 0;
};

}  // namespace holt
