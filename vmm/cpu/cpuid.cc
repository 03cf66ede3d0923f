#include "vmm/cpu/cpuid.h"

#include <algorithm>
#include <bit>

namespace holt::vmm {
namespace {

constexpr uint32_t Bit(unsigned number) { return 1u << number; }

// Leaves that say nothing to our guests (Intel SDM 2A, CPUID; AMD APM 3, appendix E): performance
// counters, cache and bandwidth allocation, SGX, processor trace, AMX tiles, SVM, memory
// encryption, and topologies, which are made anew.
constexpr uint32_t kDropped[] = {0x0a, 0x0b, 0x0f,       0x10,       0x12,       0x14,      0x1d,
                                 0x1e, 0x1f, 0x8000000a, 0x8000001f, 0x80000022, 0x80000026};

constexpr uint32_t kAmxStates = Bit(17) | Bit(18);

void SetBits(uint32_t& value, unsigned first, unsigned bits, uint32_t field) {
  const uint32_t mask = ((1u << bits) - 1) << first;
  value = (value & ~mask) | ((field << first) & mask);
}

void BasicFeatures(kvm_cpuid_entry2& leaf, const CpuidOptions& options) {
  // DTES64, MONITOR, DS-CPL, VMX, SMX, EIST, TM2, PDCM: nothing of that exists here.
  leaf.ecx &= ~(Bit(2) | Bit(3) | Bit(4) | Bit(5) | Bit(6) | Bit(7) | Bit(8) | Bit(15));
  leaf.ecx |= Bit(21) | Bit(31);  // x2APIC, hypervisor
  leaf.ecx = options.tsc_deadline ? leaf.ecx | Bit(24) : leaf.ecx & ~Bit(24);
  SetBits(leaf.ebx, 24, 8, options.index);
  SetBits(leaf.ebx, 16, 8, options.count);
  leaf.edx = options.count > 1 ? leaf.edx | Bit(28) : leaf.edx & ~Bit(28);
}

void ExtendedFeatures(kvm_cpuid_entry2& leaf) {
  if (leaf.index != 0) return;
  leaf.ebx &= ~(Bit(2) | Bit(12) | Bit(15) | Bit(25));   // SGX, monitoring, allocation, trace
  leaf.ecx &= ~Bit(30);                                  // SGX launch control
  leaf.edx &= ~(Bit(18) | Bit(22) | Bit(24) | Bit(25));  // PCONFIG, AMX
}

// Intel's and AMD's descriptions of caches: everything but the last level is one core's own.
void CacheSharing(kvm_cpuid_entry2& leaf, uint32_t count) {
  const uint32_t level = (leaf.eax >> 5) & 7;
  SetBits(leaf.eax, 14, 12, level >= 3 ? count - 1 : 0);
  if (leaf.function == 4) SetBits(leaf.eax, 26, 6, count - 1);
}

void Adjust(kvm_cpuid_entry2& leaf, const CpuidOptions& options) {
  const uint32_t last = options.count - 1;
  switch (leaf.function) {
    case 0:
      leaf.eax = std::max(leaf.eax, 0xbu);
      return;
    case 1:
      return BasicFeatures(leaf, options);
    case 4:
    case 0x8000001d:
      if ((leaf.eax & 0x1f) != 0) CacheSharing(leaf, options.count);
      return;
    case 6:
      leaf = {.function = 6, .eax = leaf.eax & Bit(2)};
      return;  // the APIC timer never stops
    case 7:
      return ExtendedFeatures(leaf);
    case 0xd:
      if (leaf.index == 0) leaf.eax &= ~kAmxStates;
      return;
    case 0x80000001:
      // SVM, IBS, SKINIT, LWP, performance counters.
      leaf.ecx &= ~(Bit(2) | Bit(10) | Bit(12) | Bit(15) | Bit(23) | Bit(24) | Bit(28));
      return;
    case 0x80000008:
      SetBits(leaf.ecx, 0, 8, last);
      SetBits(leaf.ecx, 12, 4, CoreBits(options.count));
      return;
    case 0x8000001e:
      leaf.eax = options.index;
      leaf.ebx = options.index & 0xff;  // one thread in the core of that number
      leaf.ecx = 0;
      return;
    default:
      return;
  }
}

bool IsDropped(const kvm_cpuid_entry2& leaf) {
  if (std::ranges::find(kDropped, leaf.function) != std::end(kDropped)) return true;
  return leaf.function == 0xd && (leaf.index == 17 || leaf.index == 18);
}

// Leaf 0x0b: threads in a core, cores in the package, and the end.
void AddTopology(std::vector<kvm_cpuid_entry2>& leaves, const CpuidOptions& options) {
  struct {
    uint32_t shift, processors, type;
  } levels[] = {{0, 1, 1}, {CoreBits(options.count), options.count, 2}, {0, 0, 0}};
  for (uint32_t i = 0; i < std::size(levels); ++i) {
    kvm_cpuid_entry2 leaf{};
    leaf.function = 0xb;
    leaf.index = i;
    leaf.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
    leaf.eax = levels[i].shift;
    leaf.ebx = levels[i].processors;
    leaf.ecx = i | levels[i].type << 8;
    leaf.edx = options.index;
    leaves.push_back(leaf);
  }
}

}  // namespace

uint32_t CoreBits(uint32_t count) { return static_cast<uint32_t>(std::bit_width(count - 1)); }

std::vector<kvm_cpuid_entry2> GuestCpuid(std::vector<kvm_cpuid_entry2> supported,
                                         const CpuidOptions& options) {
  std::erase_if(supported, IsDropped);
  for (kvm_cpuid_entry2& leaf : supported) Adjust(leaf, options);
  AddTopology(supported, options);
  return supported;
}

}  // namespace holt::vmm
