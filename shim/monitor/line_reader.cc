#include "shim/monitor/line_reader.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace holt::shim {

LineReader::Result LineReader::Next(std::string& line) {
  char buffer[512];
  while (true) {
    ssize_t seen = recv(fd_, buffer, sizeof buffer, MSG_PEEK | MSG_DONTWAIT);
    if (seen < 0 && errno == EINTR) continue;
    if (seen < 0 && errno == EAGAIN) return Result::kMore;
    if (seen <= 0) return Result::kEnd;
    const void* newline = std::memchr(buffer, '\n', static_cast<size_t>(seen));
    size_t take = newline != nullptr
                      ? static_cast<size_t>(static_cast<const char*>(newline) - buffer) + 1
                      : static_cast<size_t>(seen);
    ssize_t n = recv(fd_, buffer, take, MSG_DONTWAIT);
    if (n <= 0) return Result::kEnd;
    partial_.append(buffer, static_cast<size_t>(n));
    if (partial_.size() > max_bytes_) return Result::kTooLong;
    if (partial_.back() != '\n') continue;
    partial_.pop_back();
    line = std::move(partial_);
    partial_.clear();
    return Result::kLine;
  }
}

}  // namespace holt::shim
