#pragma once

#include <cstdint>

// The probe's guest: what runs in the child process, system calls only.
namespace holt::vmm {

// What the child writes to its pipe. `step` names the call that failed.
struct ProbeResult {
  enum class Step : uint32_t {
    kNone,
    kApiVersion,  // `error` is the version that was found
    kCapability,  // `error` is the KVM_CAP_* that is missing
    kCreateVm,
    kSetTssAddress,
    kCreateIrqchip,
    kMemory,
    kCreateVcpu,
    kMapRun,
    kRun,
    kExitReason,  // `error` is the KVM_EXIT_* instead of the one expected
  };
  Step step = Step::kNone;
  int32_t error = 0;
  uint64_t loop_nanos = 0;
};

// Runs the guest on an open /dev/kvm; the shortest of three runs counts. Async-signal-safe: no
// allocation, no lock. What it makes dies with the process.
ProbeResult RunProbeGuest(int kvm);

// "KVM_CREATE_VM" and so on, for messages.
const char* ProbeStepName(ProbeResult::Step step);

}  // namespace holt::vmm
