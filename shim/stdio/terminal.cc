#include "shim/stdio/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

namespace holt::shim {
namespace {

constexpr char kCtrlP = 0x10;
constexpr char kCtrlQ = 0x11;

}  // namespace

std::optional<TerminalSize> GetTerminalSize(int fd) {
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0) return std::nullopt;
  return TerminalSize{size.ws_row, size.ws_col};
}

base::Status RawMode::Enter(int fd) {
  if (tcgetattr(fd, &saved_) != 0) return HOLT_ERRNO("terminal settings");
  termios raw = saved_;
  cfmakeraw(&raw);
  if (tcsetattr(fd, TCSADRAIN, &raw) != 0) return HOLT_ERRNO("terminal settings");
  fd_ = fd;
  return {};
}

void RawMode::Leave() {
  if (fd_ >= 0) tcsetattr(fd_, TCSADRAIN, &saved_);
  fd_ = -1;
}

bool DetachKeys::Filter(std::string& data) {
  std::string out;
  for (char c : data) {
    if (held_) {
      if (c == kCtrlQ) {
        data = std::move(out);
        return false;
      }
      out += kCtrlP;
      held_ = false;
    }
    if (c == kCtrlP) {
      held_ = true;
    } else {
      out += c;
    }
  }
  data = std::move(out);
  return true;
}

}  // namespace holt::shim
