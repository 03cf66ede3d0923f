#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

// The text of cgroup v2 files as numbers: Documentation/admin-guide/cgroup-v2.rst.
namespace holt::cgroup {

struct CgroupStats {
  uint64_t cpu_usage_nanos = 0;
  uint64_t cpu_user_nanos = 0;
  uint64_t cpu_system_nanos = 0;
  uint64_t cpu_periods = 0;
  uint64_t cpu_throttled_periods = 0;
  uint64_t cpu_throttled_nanos = 0;
  uint64_t memory_usage = 0;
  uint64_t memory_limit = 0;  // 0: none
  uint64_t memory_peak = 0;
  std::map<std::string, uint64_t> memory_stat;
  std::map<std::string, uint64_t> memory_events;
  uint64_t pids_current = 0;
  uint64_t pids_limit = 0;  // 0: none
  uint64_t io_read_bytes = 0;
  uint64_t io_write_bytes = 0;
  uint64_t io_read_ops = 0;
  uint64_t io_write_ops = 0;
};

// "name value" lines, as cpu.stat, memory.stat and memory.events have them.
std::map<std::string, uint64_t> ParseFlatKeyed(std::string_view text);
// Sums rbytes, wbytes, rios and wios of io.stat over all devices.
void AddIoStat(std::string_view text, CgroupStats& stats);

// A number at the beginning of `text`; 0 where none is ("max").
uint64_t ToNumber(std::string_view text);
// What is between spaces and line ends.
std::vector<std::string> Words(std::string_view text);

}  // namespace holt::cgroup
