#include "vmm/cpu/vcpu.h"

#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <algorithm>

#include "vmm/cpu/cpuid.h"
#include "vmm/cpu/kvm_array.h"
#include "vmm/memory/layout.h"

namespace holt::vmm {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

// MSRs with another value than KVM's after reset.
constexpr uint32_t kMsrMiscEnable = 0x1a0;
constexpr uint64_t kFastStrings = 1;
constexpr uint32_t kMsrMtrrDefaultType = 0x2ff;
constexpr uint64_t kMtrrWriteBack = 1 << 11 | 6;  // enabled, and all memory is write-back

constexpr uint64_t kCr0ProtectedMode = 1;
constexpr uint64_t kCr0ExtensionType = 1 << 4;
constexpr uint64_t kCr0Paging = 1ull << 31;
constexpr uint64_t kCr4Pae = 1 << 5;
constexpr uint64_t kEferLongMode = 1 << 8 | 1 << 10;  // enabled and active

kvm_segment FlatSegment(uint16_t selector, uint8_t type, bool long_mode) {
  kvm_segment segment{};
  segment.limit = UINT32_MAX;
  segment.selector = selector;
  segment.type = type;
  segment.present = 1;
  segment.s = 1;
  segment.l = long_mode;
  segment.db = !long_mode;
  segment.g = 1;
  return segment;
}

kvm_segment TaskSegment() {
  kvm_segment segment{};
  segment.limit = 0x67;
  segment.selector = kTaskSelector;
  segment.type = 11;
  segment.present = 1;
  return segment;
}

const char* InternalErrorName(uint32_t suberror) {
  switch (suberror) {
    case KVM_INTERNAL_ERROR_EMULATION:
      return "an instruction that it cannot emulate";
    case KVM_INTERNAL_ERROR_SIMUL_EX:
      return "two exceptions at once";
    case KVM_INTERNAL_ERROR_DELIVERY_EV:
      return "an exit while an event was delivered";
    case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
      return "an unexpected exit";
    default:
      return "an error of its own";
  }
}

}  // namespace

int KickSignal() { return SIGRTMIN; }

Status InstallKickHandler() {
  struct sigaction action {};
  // Not SA_RESTART: KVM_RUN must return.
  action.sa_handler = [](int) {};
  if (sigaction(KickSignal(), &action, nullptr) != 0) return HOLT_ERRNO("kick signal");
  return {};
}

Result<std::unique_ptr<Vcpu>> Vcpu::Create(const KvmVm& vm, uint32_t index, uint32_t count,
                                           Buses buses) {
  std::unique_ptr<Vcpu> vcpu(new Vcpu(index, buses));
  TRY_ASSIGN(vcpu->fd_, vm.CreateVcpu(index));
  TRY_ASSIGN(vcpu->run_bytes_, vm.RunBytes());
  void* mapped =
      mmap(nullptr, vcpu->run_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd_.get(), 0);
  if (mapped == MAP_FAILED) return HOLT_ERRNO("map vCPU {}", index);
  vcpu->run_ = static_cast<kvm_run*>(mapped);

  TRY_ASSIGN(auto supported, vm.SupportedCpuid());
  auto leaves = GuestCpuid(std::move(supported),
                           {.index = index, .count = count, .tsc_deadline = vm.HasTscDeadline()});
  KvmArray<kvm_cpuid_entry2> cpuid(leaves.size());
  for (size_t i = 0; i < leaves.size(); ++i) cpuid.Set(i, leaves[i]);
  if (ioctl(vcpu->fd_.get(), kKvmSetCpuid2, cpuid.data()) != 0) return HOLT_ERRNO("KVM_SET_CPUID2");
  TRY(vcpu->SetMsrs());
  TRY(vcpu->PublishLocalApic());
  return vcpu;
}

Vcpu::~Vcpu() {
  if (run_ != nullptr) munmap(run_, run_bytes_);
}

Status Vcpu::SetMsrs() {
  const kvm_msr_entry values[] = {
      {.index = kMsrMiscEnable, .data = kFastStrings},
      {.index = kMsrMtrrDefaultType, .data = kMtrrWriteBack},
  };
  constexpr int kCount = std::size(values);
  KvmArray<kvm_msr_entry> msrs(kCount);
  for (size_t i = 0; i < kCount; ++i) msrs.Set(i, values[i]);
  // The result is how many were set.
  const int set = ioctl(fd_.get(), kKvmSetMsrs, msrs.data());
  if (set < 0) return HOLT_ERRNO("KVM_SET_MSRS");
  if (set != kCount)
    return MakeError(Code::kUnsupported, "KVM_SET_MSRS: KVM refused MSR {:#x}",
                     static_cast<uint32_t>(values[set].index));
  return {};
}

Status Vcpu::PublishLocalApic() {
  // KVM makes its table of local APICs before it counts the new vCPU among the VM's, so that the
  // newest is missing from it, and an INIT to it is dropped in silence, until some local APIC
  // changes. Writing back what is there makes KVM make the table again.
  kvm_lapic_state state{};
  if (ioctl(fd_.get(), KVM_GET_LAPIC, &state) != 0) return HOLT_ERRNO("KVM_GET_LAPIC");
  if (ioctl(fd_.get(), KVM_SET_LAPIC, &state) != 0) return HOLT_ERRNO("KVM_SET_LAPIC");
  return {};
}

Status Vcpu::SetEntry(const BootEntry& entry) {
  kvm_sregs special{};
  if (ioctl(fd_.get(), KVM_GET_SREGS, &special) != 0) return HOLT_ERRNO("KVM_GET_SREGS");
  special.gdt.base = kGdtAddress;
  special.gdt.limit = kGdtEntries * 8 - 1;
  special.idt.base = 0;
  special.idt.limit = 0;
  special.cs = FlatSegment(kCodeSelector, 11, entry.long_mode);
  for (kvm_segment* segment : {&special.ds, &special.es, &special.fs, &special.gs, &special.ss})
    *segment = FlatSegment(kDataSelector, 3, false);
  special.tr = TaskSegment();
  special.cr0 = kCr0ProtectedMode | kCr0ExtensionType;
  special.cr4 = 0;
  if (entry.long_mode) {
    special.cr0 |= kCr0Paging;
    special.cr3 = kPageTablesAddress;
    special.cr4 = kCr4Pae;
    special.efer = kEferLongMode;
  }
  if (ioctl(fd_.get(), KVM_SET_SREGS, &special) != 0) return HOLT_ERRNO("KVM_SET_SREGS");

  kvm_regs regs{};
  regs.rflags = 2;  // the bit that is always one
  regs.rip = entry.rip;
  regs.rbx = entry.rbx;
  regs.rsi = entry.rsi;
  if (ioctl(fd_.get(), KVM_SET_REGS, &regs) != 0) return HOLT_ERRNO("KVM_SET_REGS");
  return {};
}

void Vcpu::Kick(pthread_t thread) {
  // In this order: a vCPU that has not entered KVM_RUN yet sees the first, one that has, the
  // signal.
  __atomic_store_n(&run_->immediate_exit, 1, __ATOMIC_SEQ_CST);
  pthread_kill(thread, KickSignal());
}

void Vcpu::NotePause() {
  // Fails where the guest has no kvmclock; then there is nobody to tell.
  (void)ioctl(fd_.get(), KVM_KVMCLOCK_CTRL, 0);
}

std::optional<VcpuFailure> Vcpu::Run() {
  while (true) {
    if (ioctl(fd_.get(), KVM_RUN, 0) != 0) {
      const int error = errno;
      if (error == EINTR) {
        // A kick, or a signal that means nothing: either way the caller looks.
        __atomic_store_n(&run_->immediate_exit, 0, __ATOMIC_SEQ_CST);
        return std::nullopt;
      }
      if (error == EAGAIN) continue;
      return Failure("KVM_RUN: " + base::ErrnoError(error, "").message());
    }
    exits_.fetch_add(1, std::memory_order_relaxed);
    if (auto failure = HandleExit()) return failure;
  }
}

std::optional<VcpuFailure> Vcpu::HandleExit() {
  switch (run_->exit_reason) {
    case KVM_EXIT_IO:
      ServePort();
      return std::nullopt;
    case KVM_EXIT_MMIO:
      ServeMemory();
      return std::nullopt;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
      return std::nullopt;
    case KVM_EXIT_SHUTDOWN:
      return Failure("triple fault: the guest's kernel lost its way");
    case KVM_EXIT_FAIL_ENTRY:
      return Failure(
          fmt::format("KVM could not enter the guest: hardware reason {:#x}",
                      static_cast<uint64_t>(run_->fail_entry.hardware_entry_failure_reason)));
    case KVM_EXIT_INTERNAL_ERROR:
      return Failure(fmt::format("KVM internal error {}: {}",
                                 static_cast<uint32_t>(run_->internal.suberror),
                                 InternalErrorName(run_->internal.suberror)));
    case KVM_EXIT_UNKNOWN:
      return Failure(fmt::format("KVM does not know why the guest left: hardware reason {:#x}",
                                 static_cast<uint64_t>(run_->hw.hardware_exit_reason)));
    case KVM_EXIT_SYSTEM_EVENT:
      return Failure(
          fmt::format("KVM system event {}", static_cast<uint32_t>(run_->system_event.type)));
    default:
      return Failure(fmt::format("KVM exit reason {}, which nothing here causes",
                                 static_cast<uint32_t>(run_->exit_reason)));
  }
}

void Vcpu::ServePort() {
  const auto& io = run_->io;
  auto* data = reinterpret_cast<std::byte*>(run_) + io.data_offset;
  // The kernel keeps size * count in its page behind data_offset.
  for (uint32_t i = 0; i < io.count; ++i, data += io.size) {
    if (io.direction == KVM_EXIT_IO_OUT) {
      buses_.ports->Write(io.port, std::span<const std::byte>(data, io.size));
    } else {
      buses_.ports->Read(io.port, std::span(data, io.size));
    }
  }
}

void Vcpu::ServeMemory() {
  auto& mmio = run_->mmio;
  auto* data = reinterpret_cast<std::byte*>(mmio.data);
  const size_t bytes = std::min<size_t>(mmio.len, sizeof mmio.data);
  if (mmio.is_write) {
    buses_.memory->Write(mmio.phys_addr, std::span<const std::byte>(data, bytes));
  } else {
    buses_.memory->Read(mmio.phys_addr, std::span(data, bytes));
  }
}

VcpuFailure Vcpu::Failure(std::string_view what) const {
  return {fmt::format("vCPU {}: {}{}", index_, what, DescribeRip())};
}

std::string Vcpu::DescribeRip() const {
  kvm_regs regs{};
  if (ioctl(fd_.get(), KVM_GET_REGS, &regs) != 0) return "";
  return fmt::format(" (at {:#x})", static_cast<uint64_t>(regs.rip));
}

}  // namespace holt::vmm
