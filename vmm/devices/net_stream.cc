#include <arpa/inet.h>
#include <limits.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "vmm/devices/net_end.h"

namespace holt::vmm {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using net::Header;

class StreamEnd : public NetEnd {
 public:
  explicit StreamEnd(base::UniqueFd socket) : socket_(std::move(socket)) {
    // Room for the largest frame and the beginning of the next.
    buffer_.resize(2 * net::kMaxFrame);
  }

  int fd() const override { return socket_.get(); }
  uint64_t Features() const override { return net::kMergeableBuffers; }
  Status SetFeatures(uint64_t) override { return {}; }

  Result<uint32_t> Read(Header& header, std::span<std::byte> frame) override {
    header = Header{};
    while (true) {
      TRY_ASSIGN(const uint32_t bytes, FrameInBuffer());
      if (bytes != 0) {
        std::memcpy(frame.data(), buffer_.data() + begin_ + sizeof(uint32_t), bytes);
        begin_ += sizeof(uint32_t) + bytes;
        return bytes;
      }
      TRY_ASSIGN(const bool more, ReadMore());
      if (!more) return 0;
    }
  }

  Sent Write(Header&, std::span<iovec> parts, uint32_t bytes) override {
    if (parts.size() > IOV_MAX) return Sent::kLost;
    // What the last frame left comes first, or nobody could tell where this one begins.
    if (!Flush()) return Sent::kFull;
    const uint32_t length = htonl(bytes);
    parts[0] = {const_cast<uint32_t*>(&length), sizeof length};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    const ssize_t sent = sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) return errno == EAGAIN || errno == EINTR ? Sent::kFull : Sent::kLost;
    auto left = static_cast<size_t>(sent);
    for (const iovec& part : parts) {
      const size_t skipped = std::min(left, part.iov_len);
      left -= skipped;
      rest_.append(static_cast<const char*>(part.iov_base) + skipped, part.iov_len - skipped);
    }
    return Sent::kSent;
  }

 private:
  // The size of the frame that lies whole at begin_; 0: none does.
  Result<uint32_t> FrameInBuffer() const {
    const size_t there = end_ - begin_;
    if (there < sizeof(uint32_t)) return 0;
    uint32_t length;
    std::memcpy(&length, buffer_.data() + begin_, sizeof length);
    length = ntohl(length);
    if (length == 0 || length > net::kMaxFrame)
      return MakeError(Code::kDataLoss, "a frame of {} bytes", length);
    return there - sizeof length < length ? 0 : length;
  }

  Result<bool> ReadMore() {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    const ssize_t got =
        recv(socket_.get(), buffer_.data() + end_, buffer_.size() - end_, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (got < 0) return HOLT_ERRNO("receive");
    if (got == 0) return MakeError(Code::kUnavailable, "the other side hung up");
    end_ += static_cast<size_t>(got);
    return true;
  }

  bool Flush() {
    while (!rest_.empty()) {
      const ssize_t sent =
          send(socket_.get(), rest_.data(), rest_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return false;
      // Of a socket that is gone the reader hears.
      rest_.erase(0, sent < 0 ? rest_.size() : static_cast<size_t>(sent));
    }
    return true;
  }

  base::UniqueFd socket_;
  std::vector<std::byte> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  std::string rest_;  // of one frame, that the socket did not take
};

}  // namespace

std::unique_ptr<NetEnd> MakeStreamEnd(base::UniqueFd socket) {
  return std::make_unique<StreamEnd>(std::move(socket));
}

}  // namespace holt::vmm
