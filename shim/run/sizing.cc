#include "shim/run/sizing.h"

#include <sys/sysinfo.h>

#include <algorithm>

#include "shim/run/values.h"

namespace holt::shim {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kFixedOverhead = 96 * kMiB;

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
  // Whole 2 MiB, so that huge pages fit.
  size.memory_bytes = (size.memory_bytes + 2 * kMiB - 1) / (2 * kMiB) * (2 * kMiB);
  return size;
}

base::Result<uint64_t> HostMemory() {
  struct sysinfo info {};
  if (sysinfo(&info) != 0) return HOLT_ERRNO("sysinfo");
  return uint64_t{info.totalram} * info.mem_unit;
}

}  // namespace holt::shim
