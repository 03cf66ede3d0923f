#include "shim/run/sizing.h"

#include <sys/sysinfo.h>

#include <algorithm>

#include "shim/run/values.h"

namespace holt::shim {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kFixedOverhead = 96 * kMiB;

// Of 2 MiB.
uint64_t WholeHugePages(uint64_t bytes) { return (bytes + 2 * kMiB - 1) / (2 * kMiB) * (2 * kMiB); }

uint64_t Mebibytes(uint64_t bytes) { return (bytes + kMiB - 1) / kMiB; }

}  // namespace

uint64_t GuestOverhead(uint64_t container_bytes) { return kFixedOverhead + container_bytes / 32; }

uint64_t ContainerBytes(uint64_t machine_bytes) {
  if (machine_bytes <= kFixedOverhead) return 0;
  uint64_t shared = machine_bytes - kFixedOverhead;  // 33 parts, one of them the kernel's
  return shared - shared / 33;
}

base::Result<MachineSize> SizeMachine(std::optional<uint64_t> memory_limit, uint32_t cpus_milli,
                                      uint64_t host_bytes) {
  MachineSize size;
  size.vcpus = std::max<uint32_t>(1, (cpus_milli + 999) / 1000);
  if (size.vcpus > kMaxVcpus)
    return base::MakeError(base::Code::kInvalidArgument, "{} processors: a machine has at most {}",
                           size.vcpus, kMaxVcpus);
  if (!memory_limit) {
    // Half of a small host, so that it is not its OOM killer that decides.
    size.memory_bytes = std::min(kDefaultMachineBytes, host_bytes / 2);
    size.memory_bytes = std::max(size.memory_bytes, kFixedOverhead + kMinContainerBytes);
  } else {
    if (*memory_limit < kMinContainerBytes)
      return base::MakeError(
          base::Code::kInvalidArgument,
          "memory limit of {} MiB: too little, a container needs at least {} MiB",
          *memory_limit / kMiB, kMinContainerBytes / kMiB);
    size.memory_bytes = *memory_limit + GuestOverhead(*memory_limit);
    if (size.memory_bytes > host_bytes)
      return base::MakeError(
          base::Code::kResourceExhausted,
          "memory limit of {} MiB: the machine would need {} MiB, and this host has "
          "{} MiB",
          *memory_limit / kMiB, Mebibytes(size.memory_bytes), host_bytes / kMiB);
  }
  size.memory_bytes = WholeHugePages(size.memory_bytes);
  return size;
}

base::Result<MachineSize> MachineFor(const oci::Config& config, uint64_t host_bytes) {
  std::optional<uint64_t> memory;
  uint32_t cpus_milli = 0;
  if (config.linux_ && config.linux_->resources) {
    const oci::Resources& resources = *config.linux_->resources;
    if (resources.memory && resources.memory->limit.value_or(-1) > 0)
      memory = static_cast<uint64_t>(*resources.memory->limit);
    if (resources.cpu && resources.cpu->quota.value_or(-1) > 0) {
      uint64_t period = resources.cpu->period.value_or(100'000);
      uint64_t quota = static_cast<uint64_t>(*resources.cpu->quota);
      // Beyond what any machine has it is a bound that bounds nothing.
      cpus_milli = static_cast<uint32_t>(
          std::min<uint64_t>(period == 0 ? 0 : quota * 1000 / period, kMaxVcpus * 1000));
    }
  }
  auto size = SizeMachine(memory, cpus_milli, host_bytes);
  if (!size) return std::move(size).error().Wrap("linux.resources.memory.limit");
  if (!config.vm || !config.vm->hw_config) return size;
  const oci::VmHwConfig& hardware = *config.vm->hw_config;
  if (hardware.vcpus) {
    if (*hardware.vcpus > kMaxVcpus)
      return base::MakeError(base::Code::kInvalidArgument,
                             "vm.hwConfig.vcpus: {}: a machine has at most {}", *hardware.vcpus,
                             kMaxVcpus);
    size->vcpus = *hardware.vcpus;
  }
  if (hardware.memory) {
    const uint64_t least = memory ? size->memory_bytes : kFixedOverhead + kMinContainerBytes;
    if (*hardware.memory < least)
      return base::MakeError(base::Code::kInvalidArgument,
                             "vm.hwConfig.memory: {} MiB: the machine needs {} MiB",
                             *hardware.memory / kMiB, Mebibytes(least));
    if (*hardware.memory > host_bytes)
      return base::MakeError(base::Code::kResourceExhausted,
                             "vm.hwConfig.memory: {} MiB: this host has {} MiB",
                             *hardware.memory / kMiB, host_bytes / kMiB);
    size->memory_bytes = WholeHugePages(*hardware.memory);
  }
  return size;
}

base::Result<uint64_t> HostMemory() {
  struct sysinfo info {};
  if (sysinfo(&info) != 0) return HOLT_ERRNO("sysinfo");
  return uint64_t{info.totalram} * info.mem_unit;
}

}  // namespace holt::shim
