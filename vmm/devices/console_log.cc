#include "vmm/devices/console_log.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "base/log.h"

namespace holt::vmm {

namespace {

// kernel/panic.c and kernel/reboot.c.
constexpr std::string_view kPanic = "Kernel panic - not syncing";
constexpr std::string_view kRestart = "reboot: Restarting system";
constexpr std::string_view kPowerOff[] = {"reboot: Power down", "reboot: System halted"};

// The kernel's text without its time stamp: "[    1.234567] text".
std::string_view WithoutStamp(std::string_view line) {
  if (!line.starts_with('[')) return line;
  size_t end = line.find("] ");
  return end == std::string_view::npos ? line : line.substr(end + 2);
}

}  // namespace

ConsoleLog::ConsoleLog(base::UniqueFd fd) : fd_(std::move(fd)) {
  if (!fd_) return;
  struct stat status {};
  regular_file_ = fstat(fd_.get(), &status) == 0 && S_ISREG(status.st_mode);
  if (regular_file_) {
    file_bytes_ = static_cast<uint64_t>(status.st_size);
  } else if (auto set = base::SetNonblocking(fd_.get(), true); !set) {
    base::log::Warning("console: {}; output is not kept", set.error().message());
    fd_.Reset();
  }
}

void ConsoleLog::Append(std::string_view bytes) {
  Look(bytes);
  if (!fd_) return;
  if (dropped_ != 0) {
    const std::string note =
        fmt::format("\n[holt-vmm: {} bytes of console output were dropped]\n", dropped_);
    if (write(fd_.get(), note.data(), note.size()) != static_cast<ssize_t>(note.size())) {
      dropped_ += bytes.size();
      dropped_total_ += bytes.size();
      return;
    }
    dropped_ = 0;
  }
  Write(bytes);
}

void ConsoleLog::Write(std::string_view bytes) {
  if (regular_file_ && file_bytes_ + bytes.size() > kMaxFileBytes) {
    // With O_APPEND or not, the next byte is the first.
    if (ftruncate(fd_.get(), 0) != 0 || lseek(fd_.get(), 0, SEEK_SET) < 0) return fd_.Reset();
    file_bytes_ = 0;
  }
  while (!bytes.empty()) {
    ssize_t n = write(fd_.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) return fd_.Reset();  // the reader is gone
    if (n < 0) {
      dropped_ += bytes.size();
      dropped_total_ += bytes.size();
      return;
    }
    file_bytes_ += static_cast<uint64_t>(n);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

void ConsoleLog::Look(std::string_view bytes) {
  for (char c : bytes) {
    if (c == '\n' || line_.size() >= kMaxLineBytes) {
      LookAtLine();
      line_.clear();
      if (c == '\n') continue;
    }
    if (c != '\r') line_.push_back(c);
  }
  tail_.append(bytes.substr(bytes.size() > kMaxTailBytes ? bytes.size() - kMaxTailBytes : 0));
  if (tail_.size() > kMaxTailBytes) tail_.erase(0, tail_.size() - kMaxTailBytes);
}

void ConsoleLog::LookAtLine() {
  // At the start of a line only: what programs print is not the kernel's word.
  const std::string_view text = WithoutStamp(line_);
  if (text.starts_with(kPanic)) panic_line_ = text;
  if (text.starts_with(kRestart)) restart_announced_ = true;
  for (std::string_view announcement : kPowerOff)
    if (text == announcement) power_off_announced_ = true;
}

std::string ConsoleLog::Tail() const { return tail_; }

}  // namespace holt::vmm
