#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cgroup/settings.h"
#include "oci/runtime_spec.h"

// linux.resources divided: what the host's cgroup of a sandbox is limited to, and what the guest
// keeps. docs/adr/0090-the-hosts-cgroup.md.
namespace holt::shim {

// What a sandbox's processes need on the host beside the guest's own memory. Seen: QEMU 173 MiB
// when its translation buffer (128 MiB) is full, holt-vmm 10 with KVM, monitor, file server and
// stub 15 together; the kernel's page tables and sockets are charged too. --machine-overhead says
// otherwise.
inline constexpr uint64_t kDefaultMachineOverhead = 256ull << 20;
// Tasks of a sandbox that are no process of the container: threads of QEMU or holt-vmm (one for
// each of at most 32 processors), workers of holt-fsd. Stubs of execs are counted by the limit
// itself.
inline constexpr uint64_t kTaskHeadRoom = 128;

// What a memory limit of the container costs the host.
struct HostBudget {
  uint64_t machine_bytes = 0;   // the guest's memory, all of which it may touch
  uint64_t overhead_bytes = 0;  // of the processes around it
};

struct HostWrites {
  std::vector<cgroup::CgroupWrite> now;
  // The bandwidth of the processor (cpu.max, cpu.max.burst), which would slow the guest's boot
  // down.
  std::vector<cgroup::CgroupWrite> when_created;
};

// linux.resources, without devices, as the host's cgroup gets it. Limits of memory become those of
// the whole machine (a guest whose container is at its limit has a kernel and page cache too), pids
// get head-room; sums that overflow are no limit.
base::Result<HostWrites> WritesForHost(const oci::Resources& resources, const HostBudget& budget);

// linux.resources as the guest gets it: without what speaks of the host's processors, memory nodes
// and disks, which mean nothing there.
oci::Resources ResourcesForGuest(const oci::Resources& resources);

// What a file of memory.* or pids.max holds: a number as the kernel's memparse() reads it
// ("1048576", "1M"), UINT64_MAX for "max"; none for anything else.
std::optional<uint64_t> ParseLimit(std::string_view text);

// The properties that only a host's cgroup could apply; empty: none.
base::Result<std::vector<std::string>> HostOnlyProperties(const oci::Resources& resources);

// Is there any limit that the host's cgroup would have got?
base::Result<bool> HasHostLimits(const oci::Resources& resources);

}  // namespace holt::shim
