#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/unique_fd.h"

namespace holt::vmm {

// Where a guest's console output goes: to a descriptor, without ever waiting for its reader or
// filling a disk, and past an eye that looks for what the kernel says when it ends.
class ConsoleLog {
 public:
  // A pipe or socket is made nonblocking, and what its reader does not take is dropped (and that is
  // said there). A regular file starts again from its beginning after kMaxFileBytes.
  // An invalid descriptor: only the eye.
  explicit ConsoleLog(base::UniqueFd fd);

  void Append(std::string_view bytes);

  // "Kernel panic - not syncing: ..." as last seen, without its time stamp; empty if never.
  const std::string& panic_line() const { return panic_line_; }
  // The kernel said that it restarts, or that it powers off or halts, on purpose.
  bool restart_announced() const { return restart_announced_; }
  bool power_off_announced() const { return power_off_announced_; }
  // The end of the output, kMaxTailBytes at most.
  std::string Tail() const;
  uint64_t dropped_bytes() const { return dropped_total_; }

  static constexpr uint64_t kMaxFileBytes = 1 << 20;
  // Longer lines are looked at in pieces.
  static constexpr size_t kMaxLineBytes = 1024;
  static constexpr size_t kMaxTailBytes = 2048;

 private:
  void Write(std::string_view bytes);
  void Look(std::string_view bytes);
  void LookAtLine();

  base::UniqueFd fd_;
  bool regular_file_ = false;
  uint64_t file_bytes_ = 0;
  uint64_t dropped_ = 0;  // since the last note of it
  uint64_t dropped_total_ = 0;
  std::string line_;
  std::string tail_;
  std::string panic_line_;
  bool restart_announced_ = false;
  bool power_off_announced_ = false;
};

}  // namespace holt::vmm
