#include "vmm/cpu/kvm_vm.h"

#include <sys/ioctl.h>

#include "vmm/cpu/kvm_array.h"
#include "vmm/memory/layout.h"

namespace holt::vmm {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

namespace {

constexpr uint32_t kMaxCpuidEntries = 256;
// KVM_CREATE_VM's machine type on x86.
constexpr unsigned long kDefaultType = 0;

// What holt-vmm cannot do without.
constexpr struct {
  int number;
  const char* name;
} kNeeded[] = {
    {KVM_CAP_IRQCHIP, "IRQCHIP"},
    {KVM_CAP_USER_MEMORY, "USER_MEMORY"},
    {KVM_CAP_IRQFD, "IRQFD"},
    {KVM_CAP_IOEVENTFD, "IOEVENTFD"},
    {KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT"},
    {KVM_CAP_IRQ_ROUTING, "IRQ_ROUTING"},
};

// Every line to the IO-APIC and none to the 8259s, which no guest of ours sets up: unmasked after
// reset, they would raise interrupts that nobody acknowledges.
Status RouteInterrupts(int vm) {
  KvmArray<kvm_irq_routing_entry> routing(KvmVm::kGsiCount);
  for (uint32_t gsi = 0; gsi < KvmVm::kGsiCount; ++gsi) {
    kvm_irq_routing_entry entry{};
    entry.gsi = gsi;
    entry.type = KVM_IRQ_ROUTING_IRQCHIP;
    entry.u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
    entry.u.irqchip.pin = gsi;
    routing.Set(gsi, entry);
  }
  if (ioctl(vm, kKvmSetGsiRouting, routing.data()) != 0) return HOLT_ERRNO("KVM_SET_GSI_ROUTING");
  return {};
}

}  // namespace

Result<std::unique_ptr<KvmVm>> KvmVm::Create(UniqueFd kvm) {
  const int version = ioctl(kvm.get(), KVM_GET_API_VERSION, 0);
  if (version < 0) return HOLT_ERRNO("not /dev/kvm: KVM_GET_API_VERSION");
  if (version != KVM_API_VERSION)
    return MakeError(Code::kUnsupported, "KVM speaks version {}, not {}", version, KVM_API_VERSION);
  for (const auto& needed : kNeeded)
    if (ioctl(kvm.get(), KVM_CHECK_EXTENSION, needed.number) <= 0)
      return MakeError(Code::kUnsupported, "KVM lacks KVM_CAP_{}", needed.name);

  std::unique_ptr<KvmVm> vm(new KvmVm);
  vm->kvm_ = std::move(kvm);
  vm->vm_.Reset(ioctl(vm->kvm_.get(), KVM_CREATE_VM, kDefaultType));
  if (!vm->vm_) return HOLT_ERRNO("KVM_CREATE_VM");
  const int fd = vm->vm_.get();
  // Needed on Intel processors only, and harmless elsewhere.
  uint64_t identity_map = kIdentityMapAddress;
  if (ioctl(fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) != 0)
    return HOLT_ERRNO("KVM_SET_IDENTITY_MAP_ADDR");
  if (ioctl(fd, KVM_SET_TSS_ADDR, kTssAddress) != 0) return HOLT_ERRNO("KVM_SET_TSS_ADDR");
  if (ioctl(fd, KVM_CREATE_IRQCHIP, 0) != 0) return HOLT_ERRNO("KVM_CREATE_IRQCHIP");
  TRY(RouteInterrupts(fd));
  return vm;
}

Status KvmVm::SetMemory(std::shared_ptr<const GuestMemory> memory) {
  for (size_t i = 0; i < memory->region_count(); ++i) {
    const GuestMemory::Region region = memory->region(i);
    kvm_userspace_memory_region slot{};
    slot.slot = static_cast<uint32_t>(i);
    slot.guest_phys_addr = region.start.value();
    slot.memory_size = region.size;
    slot.userspace_addr = memory->HostAddressForKernel(i);
    if (ioctl(vm_.get(), KVM_SET_USER_MEMORY_REGION, &slot) != 0)
      return HOLT_ERRNO("KVM_SET_USER_MEMORY_REGION");
  }
  memory_ = std::move(memory);
  return {};
}

Status KvmVm::AddKick(uint64_t address, uint32_t value, int eventfd) {
  kvm_ioeventfd kick{};
  kick.datamatch = value;
  kick.addr = address;
  kick.len = 4;
  kick.fd = eventfd;
  kick.flags = KVM_IOEVENTFD_FLAG_DATAMATCH;
  if (ioctl(vm_.get(), KVM_IOEVENTFD, &kick) != 0) return HOLT_ERRNO("KVM_IOEVENTFD");
  return {};
}

Status KvmVm::AddInterrupt(uint32_t gsi, int eventfd) {
  kvm_irqfd irq{};
  irq.fd = static_cast<uint32_t>(eventfd);
  irq.gsi = gsi;
  if (ioctl(vm_.get(), KVM_IRQFD, &irq) != 0) return HOLT_ERRNO("KVM_IRQFD");
  return {};
}

Result<std::vector<kvm_cpuid_entry2>> KvmVm::SupportedCpuid() const {
  KvmArray<kvm_cpuid_entry2> cpuid(kMaxCpuidEntries);
  if (ioctl(kvm_.get(), kKvmGetSupportedCpuid, cpuid.data()) != 0)
    return HOLT_ERRNO("KVM_GET_SUPPORTED_CPUID");
  std::vector<kvm_cpuid_entry2> leaves;
  for (uint32_t i = 0; i < cpuid.count(); ++i) leaves.push_back(cpuid.Get(i));
  return leaves;
}

bool KvmVm::HasTscDeadline() const {
  return ioctl(kvm_.get(), KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
}

Result<UniqueFd> KvmVm::CreateVcpu(uint32_t index) const {
  UniqueFd vcpu(ioctl(vm_.get(), KVM_CREATE_VCPU, static_cast<unsigned long>(index)));
  if (!vcpu) return HOLT_ERRNO("KVM_CREATE_VCPU {}", index);
  return vcpu;
}

Result<size_t> KvmVm::RunBytes() const {
  const int bytes = ioctl(kvm_.get(), KVM_GET_VCPU_MMAP_SIZE, 0);
  if (bytes < static_cast<int>(sizeof(kvm_run))) return HOLT_ERRNO("KVM_GET_VCPU_MMAP_SIZE");
  return static_cast<size_t>(bytes);
}

}  // namespace holt::vmm
