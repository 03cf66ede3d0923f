#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holt::guest_agent {

// A process as /proc shows it.
struct ProcessInfo {
  int32_t pid = 0;
  int32_t container_pid = 0;  // in its innermost pid namespace
  int32_t parent_pid = 0;
  uint32_t uid = 0;
  std::string command;  // arguments joined by spaces, or [name] without any
  uint64_t cpu_nanos = 0;
  int64_t started_unix_nanos = 0;
};

// Reads /proc/<pid>; kNotFound when it is gone.
base::Result<ProcessInfo> ReadProcess(int pid);

// From the texts of /proc/<pid>/{status,stat,cmdline}. `boot_unix_nanos` is when the kernel
// started, `ticks` how many of stat's clock ticks a second has. Bytes that are not UTF-8 or could
// drive a terminal are escaped.
ProcessInfo ParseProcess(int pid, std::string_view status, std::string_view stat,
                         std::string_view cmdline, int64_t boot_unix_nanos, int64_t ticks);

}  // namespace holt::guest_agent
