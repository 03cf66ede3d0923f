#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "vmm/memory/guest_memory.h"

namespace holt::vmm {

// KVM's virtual machine: memory, interrupt controllers, and descriptors wired to both. Lives as
// long as its vCPUs.
class KvmVm {
 public:
  // `kvm` is an open /dev/kvm, kept. Makes the machine with IO-APIC and local APICs in the kernel,
  // without PIT; errors name the call.
  static base::Result<std::unique_ptr<KvmVm>> Create(base::UniqueFd kvm);

  // Gives the guest its memory. `memory` is kept.
  base::Status SetMemory(std::shared_ptr<const GuestMemory> memory);
  // A write of `value`, 4 bytes, to guest address `address` counts up `eventfd` and does not stop
  // the vCPU.
  base::Status AddKick(uint64_t address, uint32_t value, int eventfd);
  // A write to `eventfd` is an edge at the IO-APIC's pin `gsi`.
  base::Status AddInterrupt(uint32_t gsi, int eventfd);

  // What this host's guests may be told by CPUID.
  base::Result<std::vector<kvm_cpuid_entry2>> SupportedCpuid() const;
  bool HasTscDeadline() const;

  // A new vCPU's descriptor, and its shared page's size.
  base::Result<base::UniqueFd> CreateVcpu(uint32_t index) const;
  base::Result<size_t> RunBytes() const;

  static constexpr uint32_t kGsiCount = 24;

 private:
  KvmVm() = default;

  base::UniqueFd kvm_;
  base::UniqueFd vm_;
  std::shared_ptr<const GuestMemory> memory_;
};

}  // namespace holt::vmm
