#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "oci/runtime_spec.h"

// How large a machine a container gets.
namespace holt::shim {

struct MachineSize {
  uint64_t memory_bytes = 0;
  uint32_t vcpus = 1;
};

// Without --memory. The guest's memory is backed when it is touched, so most of it costs nothing.
inline constexpr uint64_t kDefaultMachineBytes = 512ull << 20;
// Less than this no program of an ordinary image gets along with.
inline constexpr uint64_t kMinContainerBytes = 16ull << 20;
inline constexpr uint32_t kMaxVcpus = 32;

// What the guest needs beside the container: kernel, agent, initramfs and page tables, and one part
// in 32 of the memory for what the kernel keeps about it (64 bytes a page, and its zones'
// reserves).
uint64_t GuestOverhead(uint64_t container_bytes);

// The other way round: how much of a machine of `machine_bytes` a container can have.
uint64_t ContainerBytes(uint64_t machine_bytes);

// `memory_limit` is the container's (--memory, or linux.resources.memory.limit): the machine is
// larger by GuestOverhead. `cpus_milli` is --cpus: as many vCPUs as it takes, at least one.
// `host_bytes` is the host's memory; a machine that is larger is refused, because it would end by
// the host's OOM killer.
base::Result<MachineSize> SizeMachine(std::optional<uint64_t> memory_limit, uint32_t cpus_milli,
                                      uint64_t host_bytes);

// The machine for a config.json: what linux.resources of it need, and what vm.hwConfig asks for
// beyond that.
base::Result<MachineSize> MachineFor(const oci::Config& config, uint64_t host_bytes);

// MemTotal of this host.
base::Result<uint64_t> HostMemory();

}  // namespace holt::shim
