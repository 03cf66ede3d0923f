#pragma once

#include <functional>
#include <string>

#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace holt::shim {

// Reads lines of a socket on an event loop without taking a byte behind the newest line: what
// follows may belong to somebody else.
class LineReader {
 public:
  enum class Result { kLine, kMore, kEnd, kTooLong };

  LineReader(int fd, size_t max_bytes) : fd_(fd), max_bytes_(max_bytes) {}
  // One line without its newline; kMore when it has not arrived yet; kEnd at the end of the stream
  // or an error. `fd` is nonblocking.
  Result Next(std::string& line);

 private:
  int fd_;
  size_t max_bytes_;
  std::string partial_;
};

}  // namespace holt::shim
