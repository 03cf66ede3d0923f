#include "shim/cli/stats_json.h"

#include <charconv>
#include <nlohmann/json.hpp>

namespace holt::shim::cli {
namespace {

using Json = nlohmann::ordered_json;
using agent::v1::StatsResponse;

constexpr size_t kMaxListed = 1024;
constexpr size_t kMaxEntries = 4096;

std::string Line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// Go's omitempty.
void Put(Json& object, const char* key, uint64_t value) {
  if (value != 0) object[key] = value;
}

// A guest cannot make one line endless.
template <typename Map, typename Add>
void Each(const Map& map, const Add& add) {
  size_t count = 0;
  for (const auto& entry : map)
    if (count++ < kMaxEntries) add(entry);
}

void PutPressure(Json& object, const StatsResponse& stats, const char* resource) {
  auto it = stats.pressure().find(resource);
  if (it == stats.pressure().end()) return;
  auto line = [](const agent::v1::PressureLine& from) {
    return Json{{"avg10", from.avg10()},
                {"avg60", from.avg60()},
                {"avg300", from.avg300()},
                {"total", from.total_us()}};
  };
  object["psi"] = {{"some", line(it->second.some())}, {"full", line(it->second.full())}};
}

Json Cpu(const StatsResponse& stats) {
  Json usage = Json::object();
  Put(usage, "total", stats.cpu_usage_nanos());
  usage["kernel"] = stats.cpu_system_nanos();
  usage["user"] = stats.cpu_user_nanos();
  Json throttling = Json::object();
  Put(throttling, "periods", stats.cpu_periods());
  Put(throttling, "throttledPeriods", stats.cpu_throttled_periods());
  Put(throttling, "throttledTime", stats.cpu_throttled_nanos());
  Json out{{"usage", usage}, {"throttling", throttling}};
  PutPressure(out, stats, "cpu");
  return out;
}

Json CpuSet(const StatsResponse& stats) {
  Json out = Json::object();
  auto list = [&](const char* key, const std::string& text) {
    if (auto numbers = ExpandList(text); !numbers.empty()) out[key] = numbers;
  };
  list("cpus", stats.cpuset_cpus());
  out["cpu_exclusive"] = 0;
  list("mems", stats.cpuset_mems());
  // Of cgroup v1; there for who reads them.
  for (const char* key :
       {"mem_hardwall", "mem_exclusive", "memory_migrate", "memory_spread_page",
        "memory_spread_slab", "memory_pressure", "sched_load_balance", "sched_relax_domain_level"})
    out[key] = 0;
  return out;
}

Json MemoryEntry(uint64_t limit, uint64_t usage, uint64_t peak) {
  Json out{{"limit", limit}};
  Put(out, "usage", usage);
  Put(out, "max", peak);
  out["failcnt"] = 0;
  return out;
}

uint64_t Number(const google::protobuf::Map<std::string, uint64_t>& map, const char* key) {
  auto it = map.find(key);
  return it == map.end() ? 0 : it->second;
}

// Neither wraps around nor goes below "none".
uint64_t Sum(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }

Json Memory(const StatsResponse& stats) {
  uint64_t limit = stats.memory_limit_bytes() == 0 ? UINT64_MAX : stats.memory_limit_bytes();
  Json out = Json::object();
  Put(out, "cache", Number(stats.memory_stat(), "file"));
  out["usage"] = MemoryEntry(limit, stats.memory_usage_bytes(), stats.memory_peak_bytes());
  // As in cgroup v1: memory and swap together.
  out["swap"] = MemoryEntry(Sum(limit, stats.swap_limit_bytes()),
                            Sum(stats.memory_usage_bytes(), stats.swap_usage_bytes()), 0);
  out["kernel"] = MemoryEntry(0, Number(stats.memory_stat(), "kernel"), 0);
  out["kernelTCP"] = MemoryEntry(0, Number(stats.memory_stat(), "sock"), 0);
  Json raw = Json::object();
  Each(stats.memory_stat(), [&](const auto& entry) { raw[entry.first] = entry.second; });
  if (!raw.empty()) out["raw"] = raw;
  PutPressure(out, stats, "memory");
  Json events = Json::object();
  for (const char* key : {"low", "high", "max", "oom", "oom_kill", "oom_group_kill"})
    Put(events, key, Number(stats.memory_events(), key));
  out["event_count"] = events;
  return out;
}

Json BlockIo(const StatsResponse& stats) {
  Json bytes = Json::array();
  Json operations = Json::array();
  Each(stats.block_io(), [&](const agent::v1::BlockIoStats& device) {
    auto add = [&](Json& list, const char* operation, uint64_t value) {
      Json entry = Json::object();
      Put(entry, "major", device.major());
      Put(entry, "minor", device.minor());
      entry["op"] = operation;
      Put(entry, "value", value);
      list.push_back(entry);
    };
    add(bytes, "Read", device.read_bytes());
    add(bytes, "Write", device.write_bytes());
    add(bytes, "Discard", device.discard_bytes());
    add(operations, "Read", device.read_ops());
    add(operations, "Write", device.write_ops());
    add(operations, "Discard", device.discard_ops());
  });
  Json out = Json::object();
  if (!bytes.empty()) out["ioServiceBytesRecursive"] = bytes;
  if (!operations.empty()) out["ioServicedRecursive"] = operations;
  PutPressure(out, stats, "io");
  return out;
}

Json Interfaces(const StatsResponse& stats) {
  Json out;  // null when there is none
  Each(stats.interfaces(), [&](const agent::v1::InterfaceStats& one) {
    out.push_back({{"Name", one.name()},
                   {"RxBytes", one.rx_bytes()},
                   {"RxPackets", one.rx_packets()},
                   {"RxErrors", one.rx_errors()},
                   {"RxDropped", one.rx_dropped()},
                   {"TxBytes", one.tx_bytes()},
                   {"TxPackets", one.tx_packets()},
                   {"TxErrors", one.tx_errors()},
                   {"TxDropped", one.tx_dropped()}});
  });
  return out;
}

}  // namespace

std::vector<uint16_t> ExpandList(const std::string& list) {
  std::vector<uint16_t> out;
  const char* at = list.data();
  const char* end = at + list.size();
  while (at < end && out.size() < kMaxListed) {
    uint16_t first = 0;
    auto begin = std::from_chars(at, end, first);
    if (begin.ec != std::errc()) return {};
    uint16_t last = first;
    at = begin.ptr;
    if (at < end && *at == '-') {
      auto rest = std::from_chars(at + 1, end, last);
      if (rest.ec != std::errc() || last < first) return {};
      at = rest.ptr;
    }
    for (uint32_t number = first; number <= last && out.size() < kMaxListed; ++number)
      out.push_back(static_cast<uint16_t>(number));
    if (at < end && *at++ != ',') return {};
  }
  return out;
}

std::string StatsLine(const std::string& id, const StatsResponse& stats) {
  Json pids = Json::object();
  Put(pids, "current", stats.pids_current());
  Put(pids, "limit", stats.pids_limit());
  Json hugetlb = Json::object();
  Each(stats.hugetlb(), [&](const auto& entry) {
    Json one = Json::object();
    Put(one, "usage", entry.second.usage_bytes());
    one["failcnt"] = entry.second.failures();
    hugetlb[entry.first] = one;
  });
  Json data{{"cpu", Cpu(stats)},           {"cpuset", CpuSet(stats)},
            {"memory", Memory(stats)},     {"pids", pids},
            {"blkio", BlockIo(stats)},     {"hugetlb", hugetlb},
            {"intel_rdt", Json::object()}, {"network_interfaces", Interfaces(stats)}};
  return Line({{"type", "stats"}, {"id", id}, {"data", data}});
}

std::string OomLine(const std::string& id) { return Line({{"type", "oom"}, {"id", id}}); }

}  // namespace holt::shim::cli
