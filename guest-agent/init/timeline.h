#pragma once

#include <time.h>

#include <cstdint>
#include <map>
#include <string>

namespace holt::guest_agent {

// When each step of the boot ended, in microseconds since the guest's kernel started.
class Timeline {
 public:
  static uint64_t Now() {
    timespec now{};
    clock_gettime(CLOCK_BOOTTIME, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000 +
           static_cast<uint64_t>(now.tv_nsec) / 1000;
  }
  void Mark(const char* step) { steps_[step] = Now(); }
  const std::map<std::string, uint64_t>& steps() const { return steps_; }

 private:
  std::map<std::string, uint64_t> steps_;
};

}  // namespace holt::guest_agent
