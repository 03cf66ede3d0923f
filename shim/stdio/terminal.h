#pragma once

#include <termios.h>

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"

namespace holt::shim {

struct TerminalSize {
  uint32_t rows = 0;
  uint32_t columns = 0;
};
// Nothing when `fd` is not a terminal.
std::optional<TerminalSize> GetTerminalSize(int fd);

// Puts a terminal into raw mode for its lifetime: every key goes to the container as a byte.
class RawMode {
 public:
  RawMode() = default;
  ~RawMode() { Leave(); }
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;

  base::Status Enter(int fd);
  void Leave();

 private:
  int fd_ = -1;
  termios saved_{};
};

// Finds Ctrl-P Ctrl-Q in what is typed. A Ctrl-P is held back until the next key tells whether it
// belongs to the sequence.
class DetachKeys {
 public:
  // Takes the typed bytes, leaves in `data` what goes to the container. False: detach.
  bool Filter(std::string& data);

 private:
  bool held_ = false;
};

}  // namespace holt::shim
