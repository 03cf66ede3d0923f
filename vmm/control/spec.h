#pragma once

#include "base/result.h"
#include "rpc/vmm.pb.h"
#include "vmm/cpu/machine.h"

namespace holt::vmm {

// Checks a VmSpec and takes over the descriptors that it names. Errors name the field: a descriptor
// that is not open, is stdio, or is named twice; memory or vCPUs out of range; a share tag.
base::Result<MachineSpec> TakeMachineSpec(const v1::VmSpec& spec);

// Checks what is said of a disk that comes later.
base::Result<BlkDisk> ReadPluggedDisk(const v1::PlugDiskRequest& request);

// Less is refused before the guest could panic of it: kernel, initramfs and page tables need that
// much.
inline constexpr uint64_t kMinMemoryBytes = 48ull << 20;
inline constexpr uint64_t kMaxMemoryBytes = 1ull << 40;

}  // namespace holt::vmm
