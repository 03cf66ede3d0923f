#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

// What `events` tells of a cgroup beyond the sums of CgroupStats, as the kernel's
// Documentation/admin-guide/cgroup-v2.rst describes the files.
namespace holt::cgroup {

// One line of io.stat.
struct IoDevice {
  uint32_t major = 0;
  uint32_t minor = 0;
  uint64_t read_bytes = 0;
  uint64_t write_bytes = 0;
  uint64_t discard_bytes = 0;
  uint64_t read_ops = 0;
  uint64_t write_ops = 0;
  uint64_t discard_ops = 0;
  bool operator==(const IoDevice&) const = default;
};

struct Hugetlb {
  uint64_t usage = 0;  // bytes
  uint64_t failures = 0;
};

// One line of a *.pressure file: the share of time in percent over the last seconds, and the sum.
struct PressureLine {
  double avg10 = 0;
  double avg60 = 0;
  double avg300 = 0;
  uint64_t total_us = 0;
  bool operator==(const PressureLine&) const = default;
};
struct PressureLines {
  PressureLine some;
  PressureLine full;
};

struct CgroupDetail {
  uint64_t swap_usage = 0;
  uint64_t swap_limit = 0;  // UINT64_MAX: none
  uint64_t swap_peak = 0;
  std::string cpus;  // effective: "0-3,7"
  std::string mems;
  std::vector<IoDevice> io;
  std::map<std::string, Hugetlb> hugetlb;         // by page size, "2MB"
  std::map<std::string, PressureLines> pressure;  // cpu, memory, io
};

// Of the cgroup directory `cgroup`. What the kernel does not have is left empty.
CgroupDetail ReadDetail(int cgroup);

std::vector<IoDevice> ParseIoStat(std::string_view text);
PressureLines ParsePressure(std::string_view text);

}  // namespace holt::cgroup
