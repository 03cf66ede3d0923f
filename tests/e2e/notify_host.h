#pragma once

// Somebody on the host who waits at NOTIFY_SOCKET, as systemd does.

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <string>

#include "base/socket.h"
#include "shim/state/heard_notification.h"

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
    shim::HeardNotification heard = shim::HearNotification(socket_.get());
    if (heard.sender != 0) sender_ = heard.sender;
    if (heard.descriptor) descriptor_ = std::move(heard.descriptor);
    return heard.text;
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
