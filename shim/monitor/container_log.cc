#include "shim/monitor/container_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstring>

#include "base/file.h"
#include "base/log.h"
#include "shim/state/record.h"

namespace holt::shim {
namespace {

struct Header {
  uint64_t unix_nanos;
  uint32_t length;
  uint8_t stream;
  uint8_t zero[3];
};
static_assert(sizeof(Header) == 16);

constexpr uint32_t kMaxRecord = 1 << 20;

}  // namespace

base::Result<ContainerLog> ContainerLog::Open(const std::string& path, uint64_t max_bytes) {
  ContainerLog log;
  log.path_ = path;
  log.max_bytes_ = max_bytes;
  TRY_ASSIGN(log.fd_, base::Open(path, O_WRONLY | O_CREAT | O_APPEND, 0600));
  struct stat st {};
  if (fstat(log.fd_.get(), &st) == 0) log.size_ = static_cast<uint64_t>(st.st_size);
  return log;
}

base::Status ContainerLog::Rotate() {
  if (rename(path_.c_str(), (path_ + ".1").c_str()) != 0) return HOLT_ERRNO("rename {}", path_);
  TRY_ASSIGN(fd_, base::Open(path_, O_WRONLY | O_CREAT | O_APPEND, 0600));
  size_ = 0;
  return {};
}

void ContainerLog::Append(LogStream stream, std::string_view data) {
  if (!fd_) return;
  Header header{static_cast<uint64_t>(NowUnixNanos()),
                static_cast<uint32_t>(data.size()),
                static_cast<uint8_t>(stream),
                {}};
  iovec parts[2] = {{&header, sizeof header}, {const_cast<char*>(data.data()), data.size()}};
  size_t total = sizeof header + data.size();
  ssize_t n = writev(fd_.get(), parts, 2);
  if (n != static_cast<ssize_t>(total)) {
    base::log::Warning("{}: {}; output is not kept any more", path_,
                       n < 0 ? strerror(errno) : "disk full");
    // A record cut short would hide all after it.
    if (n > 0 && ftruncate(fd_.get(), static_cast<off_t>(size_)) != 0)
      base::log::Warning("{}: the last record is cut short", path_);
    fd_.Reset();
    return;
  }
  size_ += total;
  if (size_ < max_bytes_ / 2) return;
  if (auto status = Rotate(); !status) {
    base::log::Warning("{}; output is not kept any more", status.error().message());
    fd_.Reset();
  }
}

base::Result<LogReader> LogReader::Open(const std::string& path) {
  LogReader reader;
  reader.path_ = path;
  auto old = base::Open(path + ".1", O_RDONLY);
  if (old) {
    reader.fd_ = std::move(*old);
    reader.in_old_ = true;
    return reader;
  }
  TRY_ASSIGN(reader.fd_, base::Open(path, O_RDONLY));
  return reader;
}

base::Result<bool> LogReader::Next(LogRecord& record) {
  while (true) {
    Header header{};
    off_t at = lseek(fd_.get(), 0, SEEK_CUR);
    ssize_t n = pread(fd_.get(), &header, sizeof header, at);
    if (n < 0) return HOLT_ERRNO("read {}", path_);
    if (n == sizeof header) {
      if (header.length > kMaxRecord)
        return base::Error(base::Code::kDataLoss, path_ + ": damaged");
      record.data.resize(header.length);
      ssize_t got = pread(fd_.get(), record.data.data(), header.length,
                          at + static_cast<off_t>(sizeof header));
      if (got == static_cast<ssize_t>(header.length)) {
        lseek(fd_.get(), at + static_cast<off_t>(sizeof header) + got, SEEK_SET);
        record.unix_nanos = static_cast<int64_t>(header.unix_nanos);
        record.stream = static_cast<LogStream>(header.stream);
        return true;
      }
    }
    // The end of this file. Go on in the current one if this is (by now) the rotated one.
    struct stat mine {};
    struct stat current {};
    if (fstat(fd_.get(), &mine) != 0 || stat(path_.c_str(), &current) != 0) return false;
    if (mine.st_ino == current.st_ino) return false;
    TRY_ASSIGN(fd_, base::Open(path_, O_RDONLY));
  }
}

}  // namespace holt::shim
