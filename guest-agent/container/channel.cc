#include "guest-agent/container/channel.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/file.h"

namespace holt::guest_agent {

using base::Result;
using base::Status;
using base::UniqueFd;

ChannelMessage ChannelMessage::Make(ChannelKind kind, std::string_view text) {
  ChannelMessage message{};
  message.kind = kind;
  std::memcpy(message.text, text.data(), std::min(text.size(), sizeof message.text - 1));
  return message;
}

ChannelMessage ChannelMessage::Failed(const base::Error& error) {
  ChannelMessage message = Make(ChannelKind::kFailed, error.message());
  message.code = static_cast<int32_t>(error.code());
  message.err = error.err();
  return message;
}

base::Error ChannelMessage::ToError() const {
  // The child ran our code, but it lives among the container's: nothing of it is trusted unchecked.
  bool known = code >= 0 && code <= static_cast<int32_t>(base::Code::kDataLoss);
  return base::Error(known ? static_cast<base::Code>(code) : base::Code::kInternal,
                     std::string(text, strnlen(text, sizeof text)), err);
}

Result<Channel> MakeChannel() {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
    return HOLT_ERRNO("socketpair");
  Channel channel{UniqueFd(fds[0]), UniqueFd(fds[1])};
  TRY(base::SetNonblocking(fds[0], true));
  return channel;
}

void SendMessage(int channel, const ChannelMessage& message, int fd) {
  iovec data{const_cast<ChannelMessage*>(&message), sizeof message};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (fd >= 0) {
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  }
  while (sendmsg(channel, &header, MSG_NOSIGNAL) < 0 && errno == EINTR) {
  }
}

bool AwaitGo(int channel) {
  char go = 0;
  ssize_t n;
  while ((n = recv(channel, &go, 1, 0)) < 0 && errno == EINTR) {
  }
  return n == 1 && go == 'g';
}

Status SendGo(int channel) {
  if (send(channel, "g", 1, MSG_NOSIGNAL) != 1) return HOLT_ERRNO("tell the process to start");
  return {};
}

Received Receive(int channel) {
  Received received;
  iovec data{&received.message, sizeof received.message};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 4)] = {};
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t n = recvmsg(channel, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  // A child that failed before it read our go: the error comes once, ahead of what the child said.
  if (n < 0 && errno == ECONNRESET) n = recvmsg(channel, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
    received.empty = true;
    return received;
  }
  for (cmsghdr* part = n >= 0 ? CMSG_FIRSTHDR(&header) : nullptr; part;
       part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      received.fd.Reset(fd);
    }
  }
  received.closed = n != static_cast<ssize_t>(sizeof received.message);
  return received;
}

}  // namespace holt::guest_agent
