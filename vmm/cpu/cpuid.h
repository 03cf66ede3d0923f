#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <vector>

namespace holt::vmm {

struct CpuidOptions {
  uint32_t index = 0;  // of this vCPU; its APIC id
  uint32_t count = 1;  // of all
  bool tsc_deadline = true;
};

// What one vCPU answers to CPUID: what KVM supports on this host, without what our machines do not
// have (nested virtualization, performance counters, SGX, AMX and its 8 KiB of state, MONITOR), and
// with a topology of one package of `count` cores without siblings.
std::vector<kvm_cpuid_entry2> GuestCpuid(std::vector<kvm_cpuid_entry2> supported,
                                         const CpuidOptions& options);

// Low bits of an APIC id that number the cores of a package of `count`.
uint32_t CoreBits(uint32_t count);

}  // namespace holt::vmm
