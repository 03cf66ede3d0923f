#pragma once

#include <cstdio>
#include <cstring>

// Names for descriptors of ours, for system calls that take only paths.
namespace holt::fsd {

// "/proc/self/fd/N", which leads to the very object that descriptor N has open, whatever happened
// to its name. In the sandbox there is no /proc: its working directory is /proc/self/fd then, and
// the name just "N".
class ProcPath {
 public:
  explicit ProcPath(int fd) { std::snprintf(text_, sizeof text_, "%s%d", prefix_, fd); }
  const char* get() const { return text_; }

  // Once, before threads start: the working directory is /proc/self/fd.
  static void UseWorkingDirectory() { prefix_ = ""; }

 private:
  static inline const char* prefix_ = "/proc/self/fd/";
  char text_[32];
};

}  // namespace holt::fsd
