#include "vmm/vhost_user/protocol.h"

#include <sys/socket.h>

#include <array>
#include <cstring>

#include "base/socket.h"

namespace holt::vmm::vhost_user {

using base::Code;
using base::MakeError;
using base::Result;

std::string RequestName(uint32_t request) {
  switch (static_cast<Request>(request)) {
    case Request::kGetFeatures:
      return "GET_FEATURES";
    case Request::kSetFeatures:
      return "SET_FEATURES";
    case Request::kSetOwner:
      return "SET_OWNER";
    case Request::kResetOwner:
      return "RESET_OWNER";
    case Request::kSetMemTable:
      return "SET_MEM_TABLE";
    case Request::kSetLogBase:
      return "SET_LOG_BASE";
    case Request::kSetLogFd:
      return "SET_LOG_FD";
    case Request::kSetVringNum:
      return "SET_VRING_NUM";
    case Request::kSetVringAddr:
      return "SET_VRING_ADDR";
    case Request::kSetVringBase:
      return "SET_VRING_BASE";
    case Request::kGetVringBase:
      return "GET_VRING_BASE";
    case Request::kSetVringKick:
      return "SET_VRING_KICK";
    case Request::kSetVringCall:
      return "SET_VRING_CALL";
    case Request::kSetVringErr:
      return "SET_VRING_ERR";
    case Request::kGetProtocolFeatures:
      return "GET_PROTOCOL_FEATURES";
    case Request::kSetProtocolFeatures:
      return "SET_PROTOCOL_FEATURES";
    case Request::kGetQueueNum:
      return "GET_QUEUE_NUM";
    case Request::kSetVringEnable:
      return "SET_VRING_ENABLE";
    case Request::kSetBackendRequestFd:
      return "SET_BACKEND_REQ_FD";
    case Request::kGetConfig:
      return "GET_CONFIG";
    case Request::kSetConfig:
      return "SET_CONFIG";
    case Request::kResetDevice:
      return "RESET_DEVICE";
    case Request::kGetMaxMemSlots:
      return "GET_MAX_MEM_SLOTS";
    case Request::kAddMemReg:
      return "ADD_MEM_REG";
    case Request::kRemMemReg:
      return "REM_MEM_REG";
    case Request::kSetStatus:
      return "SET_STATUS";
    case Request::kGetStatus:
      return "GET_STATUS";
  }
  return fmt::format("request {}", request);
}

namespace {

// Receives up to `size` bytes into `data`, descriptors appended to `fds`. 0: nothing there now.
Result<size_t> Receive(int socket, void* data, size_t size, std::vector<base::UniqueFd>& fds) {
  iovec iov{data, size};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxFds)> control;
  msghdr header{};
  header.msg_iov = &iov;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t n;
  do {
    n = recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN) return size_t{0};
  if (n < 0) return HOLT_ERRNO("vhost-user: receive");
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
  if ((header.msg_flags & MSG_CTRUNC) != 0 || fds.size() > kMaxFds)
    return MakeError(Code::kInvalidArgument, "vhost-user: more than {} descriptors in a message",
                     kMaxFds);
  if (n == 0)
    return MakeError(Code::kUnavailable, "vhost-user: the other end closed the connection");
  return static_cast<size_t>(n);
}

}  // namespace

Result<bool> MessageReader::Read(Message& message) {
  while (header_bytes_ < sizeof(Header)) {
    char* at = reinterpret_cast<char*>(&partial_.header) + header_bytes_;
    TRY_ASSIGN(size_t n, Receive(socket_, at, sizeof(Header) - header_bytes_, partial_.fds));
    if (n == 0) return false;
    header_bytes_ += n;
    if (header_bytes_ < sizeof(Header)) continue;
    if ((partial_.header.flags & kVersionMask) != kVersion)
      return MakeError(Code::kInvalidArgument, "vhost-user: version {} is not spoken here",
                       partial_.header.flags & kVersionMask);
    if (partial_.header.size > kMaxPayload)
      return MakeError(Code::kInvalidArgument,
                       "vhost-user {}: payload of {} bytes, at most {} are taken",
                       RequestName(partial_.header.request), partial_.header.size, kMaxPayload);
    partial_.payload.resize(partial_.header.size);
  }
  while (payload_bytes_ < partial_.payload.size()) {
    TRY_ASSIGN(size_t n, Receive(socket_, partial_.payload.data() + payload_bytes_,
                                 partial_.payload.size() - payload_bytes_, partial_.fds));
    if (n == 0) return false;
    payload_bytes_ += n;
  }
  message = std::move(partial_);
  partial_ = Message{};
  header_bytes_ = payload_bytes_ = 0;
  return true;
}

base::Status SendMessage(int socket, uint32_t request, uint32_t flags, std::string_view payload,
                         std::span<const int> fds) {
  Header header{request, (flags & ~kVersionMask) | kVersion, static_cast<uint32_t>(payload.size())};
  std::string bytes(BytesOf(header));
  bytes += payload;
  TRY_CONTEXT(base::SendWithFds(socket, bytes, fds), "vhost-user " + RequestName(request));
  return {};
}

}  // namespace holt::vmm::vhost_user
