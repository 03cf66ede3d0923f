#include "shim/monitor/update.h"

#include "shim/run/sizing.h"

namespace holt::shim {
namespace {

using base::Code;
using base::MakeError;

constexpr uint64_t kDefaultPeriod = 100'000;  // microseconds, the kernel's
constexpr uint64_t kMiB = 1 << 20;

template <typename T>
void Take(std::optional<T>& target, const std::optional<T>& value) {
  if (value) target = value;
}

void Take(std::string& target, const std::string& value) {
  if (!value.empty()) target = value;
}

template <typename T>
void Take(std::vector<T>& target, const std::vector<T>& value) {
  if (!value.empty()) target = value;
}

// Creates what an update of an absent object would have to fill.
template <typename T>
T& Made(std::optional<T>& object) {
  if (!object) object.emplace();
  return *object;
}

void Merge(oci::MemoryResources& current, const oci::MemoryResources& update) {
  Take(current.limit, update.limit);
  Take(current.reservation, update.reservation);
  Take(current.swap, update.swap);
  Take(current.kernel, update.kernel);
  Take(current.kernel_tcp, update.kernel_tcp);
  Take(current.swappiness, update.swappiness);
  Take(current.disable_oom_killer, update.disable_oom_killer);
  Take(current.use_hierarchy, update.use_hierarchy);
  Take(current.check_before_update, update.check_before_update);
}

void Merge(oci::CpuResources& current, const oci::CpuResources& update) {
  Take(current.shares, update.shares);
  Take(current.quota, update.quota);
  Take(current.burst, update.burst);
  Take(current.period, update.period);
  Take(current.realtime_runtime, update.realtime_runtime);
  Take(current.realtime_period, update.realtime_period);
  Take(current.cpus, update.cpus);
  Take(current.mems, update.mems);
  Take(current.idle, update.idle);
}

void Merge(oci::BlockIoResources& current, const oci::BlockIoResources& update) {
  Take(current.weight, update.weight);
  Take(current.leaf_weight, update.leaf_weight);
  Take(current.weight_device, update.weight_device);
  Take(current.throttle_read_bps, update.throttle_read_bps);
  Take(current.throttle_write_bps, update.throttle_write_bps);
  Take(current.throttle_read_iops, update.throttle_read_iops);
  Take(current.throttle_write_iops, update.throttle_write_iops);
}

base::Status CheckCpu(const oci::CpuResources& cpu, uint32_t vcpus) {
  uint64_t period = cpu.period.value_or(0) == 0 ? kDefaultPeriod : *cpu.period;
  // Divided, not multiplied: these are the caller's numbers.
  if (cpu.quota.value_or(0) > 0 && (static_cast<uint64_t>(*cpu.quota) - 1) / vcpus >= period)
    return MakeError(Code::kResourceExhausted,
                     "linux.resources.cpu.quota: {} of {} us are more than the {} processor{} of "
                     "the container's machine, which gets no more while it runs",
                     *cpu.quota, period, vcpus, vcpus == 1 ? "" : "s");
  return {};
}

}  // namespace

oci::Resources CompleteUpdate(const oci::Resources& current, oci::Resources update) {
  if (update.memory) {
    oci::MemoryResources& memory = *update.memory;
    oci::MemoryResources before = current.memory.value_or(oci::MemoryResources{});
    if (memory.limit.value_or(0) < 0 && !memory.swap) memory.swap = -1;
    if (memory.swap.value_or(0) > 0 && memory.limit.value_or(0) == 0) memory.limit = before.limit;
    if (memory.limit.value_or(0) > 0 && !memory.swap && before.swap.value_or(0) > 0)
      memory.swap = before.swap;
  }
  if (update.cpu) {
    oci::CpuResources& cpu = *update.cpu;
    oci::CpuResources before = current.cpu.value_or(oci::CpuResources{});
    bool quota = cpu.quota.value_or(0) != 0;
    bool period = cpu.period.value_or(0) != 0;
    if (quota && !period) Take(cpu.period, before.period);
    if (period && !quota) Take(cpu.quota, before.quota);
  }
  return update;
}

oci::Resources MergeResources(oci::Resources current, const oci::Resources& update) {
  Take(current.devices, update.devices);
  if (update.memory) Merge(Made(current.memory), *update.memory);
  if (update.cpu) Merge(Made(current.cpu), *update.cpu);
  if (update.pids) Take(Made(current.pids).limit, update.pids->limit);
  if (update.block_io) Merge(Made(current.block_io), *update.block_io);
  for (const oci::HugepageLimit& limit : update.hugepage_limits) {
    std::erase_if(current.hugepage_limits,
                  [&](const auto& other) { return other.page_size == limit.page_size; });
    current.hugepage_limits.push_back(limit);
  }
  Take(current.network, update.network);
  for (const auto& [name, limit] : update.rdma) current.rdma[name] = limit;
  for (const auto& [file, value] : update.unified) current.unified[file] = value;
  return current;
}

base::Status CheckFits(const oci::Resources& update, uint64_t machine_bytes, uint32_t vcpus) {
  uint64_t most = ContainerBytes(machine_bytes);
  if (update.memory && update.memory->limit.value_or(0) > 0 &&
      static_cast<uint64_t>(*update.memory->limit) > most)
    return MakeError(Code::kResourceExhausted,
                     "linux.resources.memory.limit: {} bytes: the container's machine has {} MiB, "
                     "of which a container can have {} MiB, and gets no more while it runs",
                     *update.memory->limit, machine_bytes / kMiB, most / kMiB);
  return update.cpu ? CheckCpu(*update.cpu, std::max(vcpus, 1u)) : base::Status();
}

}  // namespace holt::shim
