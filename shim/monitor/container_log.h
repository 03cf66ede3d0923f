#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

// What a container wrote, kept for `holt logs`. A file of records, each a header of 16 bytes and
// the bytes as they came:
//   u64 Unix nanoseconds, u32 length, u8 stream (1 stdout, 2 stderr), 3 bytes of zero;
//   little-endian.
// When the file reaches half of the bytes to keep it becomes `<path>.1`, over the one before.
namespace holt::shim {

enum class LogStream : uint8_t { kStdout = 1, kStderr = 2 };

class ContainerLog {
 public:
  static base::Result<ContainerLog> Open(const std::string& path, uint64_t max_bytes);

  // A failure to write (a full disk) is noted once in the monitor's log and ends the keeping: the
  // container's output is not held up by it.
  void Append(LogStream stream, std::string_view data);

 private:
  base::Status Rotate();

  std::string path_;
  base::UniqueFd fd_;
  uint64_t max_bytes_ = 0;
  uint64_t size_ = 0;
};

struct LogRecord {
  int64_t unix_nanos = 0;
  LogStream stream = LogStream::kStdout;
  std::string data;
};

// Reads records in order, the rotated file first.
class LogReader {
 public:
  static base::Result<LogReader> Open(const std::string& path);
  // False at the end of what is there now; more may come (call again).
  base::Result<bool> Next(LogRecord& record);

 private:
  std::string path_;
  base::UniqueFd fd_;
  bool in_old_ = false;
};

}  // namespace holt::shim
