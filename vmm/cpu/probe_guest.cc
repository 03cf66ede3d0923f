#include "vmm/cpu/probe_guest.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

namespace holt::vmm {
namespace {

using Step = ProbeResult::Step;

// At the reset vector, in real mode: mov ecx, 1000000; loop (32-bit counter) onto itself;
// out 0x80, al; jmp to the start. Not hlt: with the interrupt controller in the kernel, as our
// machines have it, a halted vCPU waits there for ever.
constexpr unsigned char kGuest[] = {0x66, 0xb9, 0x40, 0x42, 0x0f, 0x00, 0x67,
                                    0xe2, 0xfd, 0xe6, 0x80, 0xeb, 0xf3};
constexpr uint64_t kResetPage = 0xfffff000;
constexpr size_t kResetOffset = 0xff0;
static_assert(kResetOffset + sizeof kGuest <= 0x1000);
constexpr uint16_t kDonePort = 0x80;
constexpr int kRuns = 3;

// What holt-vmm cannot do without (Documentation/virt/kvm/api.rst).
constexpr int kNeeded[] = {KVM_CAP_IRQCHIP,   KVM_CAP_USER_MEMORY,    KVM_CAP_SET_TSS_ADDR,
                           KVM_CAP_EXT_CPUID, KVM_CAP_MP_STATE,       KVM_CAP_IRQFD,
                           KVM_CAP_IOEVENTFD, KVM_CAP_IMMEDIATE_EXIT, KVM_CAP_GET_TSC_KHZ};

uint64_t NowNanos() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

ProbeResult Failed(Step step) { return {step, errno, 0}; }

}  // namespace

ProbeResult RunProbeGuest(int kvm) {
  const int version = ioctl(kvm, KVM_GET_API_VERSION, 0);
  if (version < 0) return Failed(Step::kApiVersion);
  if (version != KVM_API_VERSION) return {Step::kApiVersion, 0, 0};
  for (int capability : kNeeded)
    if (ioctl(kvm, KVM_CHECK_EXTENSION, capability) <= 0) return {Step::kCapability, capability, 0};

  const int vm = ioctl(kvm, KVM_CREATE_VM, 0);
  if (vm < 0) return Failed(Step::kCreateVm);
  // Three pages of KVM's own below the reset vector (api.rst, 4.41).
  if (ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000ul) != 0) return Failed(Step::kSetTssAddress);
  if (ioctl(vm, KVM_CREATE_IRQCHIP, 0) != 0) return Failed(Step::kCreateIrqchip);
  void* memory = mmap(nullptr, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return Failed(Step::kMemory);
  memcpy(static_cast<unsigned char*>(memory) + kResetOffset, kGuest, sizeof kGuest);
  kvm_userspace_memory_region region{};
  region.guest_phys_addr = kResetPage;
  region.memory_size = 0x1000;
  region.userspace_addr = reinterpret_cast<uint64_t>(memory);
  if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) != 0) return Failed(Step::kMemory);
  const int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
  if (vcpu < 0) return Failed(Step::kCreateVcpu);
  const int run_bytes = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  if (run_bytes < static_cast<int>(sizeof(kvm_run))) return Failed(Step::kMapRun);
  void* mapped =
      mmap(nullptr, static_cast<size_t>(run_bytes), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  if (mapped == MAP_FAILED) return Failed(Step::kMapRun);
  auto* run = static_cast<volatile kvm_run*>(mapped);

  ProbeResult result;
  for (int i = 0; i < kRuns; ++i) {
    const uint64_t begin = NowNanos();
    if (ioctl(vcpu, KVM_RUN, 0) != 0) return Failed(Step::kRun);
    const uint64_t took = NowNanos() - begin;
    if (run->exit_reason != KVM_EXIT_IO || run->io.port != kDonePort)
      return {Step::kExitReason, static_cast<int32_t>(run->exit_reason), 0};
    // The host may have been busy with others: the best of a few is what it can do.
    if (i == 0 || took < result.loop_nanos) result.loop_nanos = took;
    if (took < 2'000'000) break;  // nothing more to learn
  }
  return result;
}

const char* ProbeStepName(Step step) {
  switch (step) {
    case Step::kNone:
      return "nothing";
    case Step::kApiVersion:
      return "KVM_GET_API_VERSION";
    case Step::kCapability:
      return "KVM_CHECK_EXTENSION";
    case Step::kCreateVm:
      return "KVM_CREATE_VM";
    case Step::kSetTssAddress:
      return "KVM_SET_TSS_ADDR";
    case Step::kCreateIrqchip:
      return "KVM_CREATE_IRQCHIP";
    case Step::kMemory:
      return "KVM_SET_USER_MEMORY_REGION";
    case Step::kCreateVcpu:
      return "KVM_CREATE_VCPU";
    case Step::kMapRun:
      return "KVM_GET_VCPU_MMAP_SIZE";
    case Step::kRun:
    case Step::kExitReason:
      return "KVM_RUN";
  }
  return "an unknown step";
}

}  // namespace holt::vmm
