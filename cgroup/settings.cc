#include "cgroup/settings.h"

#include <cmath>

namespace holt::cgroup {
namespace {

using base::Code;
using base::MakeError;
using base::Status;

class Writes {
 public:
  void Add(std::string file, std::string value, std::string_view property, std::string bfq = "") {
    list_.push_back({std::move(file), std::move(value), "linux.resources." + std::string(property),
                     std::move(bfq)});
  }
  std::vector<CgroupWrite> Take() { return std::move(list_); }

 private:
  std::vector<CgroupWrite> list_;
};

std::string LimitText(int64_t limit) { return limit < 0 ? "max" : std::to_string(limit); }

Status AddMemory(const oci::MemoryResources& memory, Writes& out) {
  if (memory.swap) {
    // The specification's value is memory and swap together, the kernel's is swap alone.
    int64_t swap = *memory.swap;
    if (swap > 0) {
      if (memory.limit.value_or(-1) <= 0)
        return MakeError(Code::kInvalidArgument,
                         "linux.resources.memory.swap: needs memory.limit, of which it is the sum");
      if (swap < *memory.limit)
        return MakeError(Code::kInvalidArgument,
                         "linux.resources.memory.swap: {} is less than memory.limit {}", swap,
                         *memory.limit);
      swap -= *memory.limit;
    }
    if (*memory.swap != 0) out.Add("memory.swap.max", LimitText(swap), "memory.swap");
  }
  if (memory.limit.value_or(0) != 0)
    out.Add("memory.max", LimitText(*memory.limit), "memory.limit");
  if (memory.reservation.value_or(0) != 0)
    out.Add("memory.low", LimitText(*memory.reservation), "memory.reservation");
  return {};
}

void AddCpu(const oci::CpuResources& cpu, Writes& out) {
  if (cpu.idle) out.Add("cpu.idle", std::to_string(*cpu.idle), "cpu.idle");
  // An idle group has no weight of its own, and the kernel refuses one.
  if (cpu.shares.value_or(0) != 0 && cpu.idle.value_or(0) == 0)
    out.Add("cpu.weight", std::to_string(WeightFromShares(*cpu.shares)), "cpu.shares");
  if (cpu.quota.value_or(0) != 0 || cpu.period.value_or(0) != 0) {
    int64_t quota = cpu.quota.value_or(-1);
    std::string value = quota > 0 ? std::to_string(quota) : "max";
    if (cpu.period.value_or(0) != 0) value += " " + std::to_string(*cpu.period);
    out.Add("cpu.max", value, cpu.quota ? "cpu.quota" : "cpu.period");
  }
  if (cpu.burst) out.Add("cpu.max.burst", std::to_string(*cpu.burst), "cpu.burst");
  if (!cpu.cpus.empty()) out.Add("cpuset.cpus", cpu.cpus, "cpu.cpus");
  if (!cpu.mems.empty()) out.Add("cpuset.mems", cpu.mems, "cpu.mems");
}

void AddThrottle(const std::vector<oci::ThrottleDevice>& devices, const char* key,
                 const char* property, Writes& out) {
  for (size_t i = 0; i < devices.size(); ++i)
    out.Add("io.max",
            fmt::format("{}:{} {}={}", devices[i].major, devices[i].minor, key,
                        devices[i].rate == 0 ? "max" : std::to_string(devices[i].rate)),
            fmt::format("blockIO.{}[{}]", property, i));
}

void AddBlockIo(const oci::BlockIoResources& io, Writes& out) {
  if (io.weight.value_or(0) != 0)
    out.Add("io.weight", fmt::format("default {}", IoWeightFromBlkio(*io.weight)), "blockIO.weight",
            std::to_string(*io.weight));
  for (size_t i = 0; i < io.weight_device.size(); ++i) {
    const oci::WeightDevice& device = io.weight_device[i];
    if (device.weight.value_or(0) != 0)
      out.Add(
          "io.weight",
          fmt::format("{}:{} {}", device.major, device.minor, IoWeightFromBlkio(*device.weight)),
          fmt::format("blockIO.weightDevice[{}]", i),
          fmt::format("{}:{} {}", device.major, device.minor, *device.weight));
  }
  AddThrottle(io.throttle_read_bps, "rbps", "throttleReadBpsDevice", out);
  AddThrottle(io.throttle_write_bps, "wbps", "throttleWriteBpsDevice", out);
  AddThrottle(io.throttle_read_iops, "riops", "throttleReadIOPSDevice", out);
  AddThrottle(io.throttle_write_iops, "wiops", "throttleWriteIOPSDevice", out);
}

}  // namespace

uint64_t WeightFromShares(uint64_t shares) {
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  double log2 = std::log2(static_cast<double>(shares));
  double exponent = (log2 * log2 + 125 * log2) / 612.0 - 7.0 / 34.0;
  return static_cast<uint64_t>(std::ceil(std::pow(10, exponent) - 1e-9));
}

uint64_t IoWeightFromBlkio(uint64_t weight) { return 1 + (weight - 10) * 9999 / 990; }

base::Result<std::vector<CgroupWrite>> CgroupWrites(const oci::Resources& resources) {
  Writes out;
  if (resources.memory) TRY(AddMemory(*resources.memory, out));
  if (resources.cpu) AddCpu(*resources.cpu, out);
  if (resources.pids && resources.pids->limit)
    // 0 has always meant no limit to engines; a cgroup that takes no process could not start.
    out.Add("pids.max",
            *resources.pids->limit <= 0 ? "max" : std::to_string(*resources.pids->limit),
            "pids.limit");
  if (resources.block_io) AddBlockIo(*resources.block_io, out);
  for (size_t i = 0; i < resources.hugepage_limits.size(); ++i) {
    const oci::HugepageLimit& limit = resources.hugepage_limits[i];
    out.Add("hugetlb." + limit.page_size + ".max", std::to_string(limit.limit),
            fmt::format("hugepageLimits[{}]", i));
  }
  for (const auto& [file, value] : resources.unified)
    out.Add(file, value, fmt::format("unified[\"{}\"]", file));
  return out.Take();
}

}  // namespace holt::cgroup
