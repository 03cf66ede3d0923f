#pragma once

#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace holt::vmm {

// One of KVM's structs that end in an array (kvm_cpuid2, kvm_msrs, kvm_irq_routing), zeroed, with
// room for `entries`.
template <typename Header>
class KvmArray {
 public:
  using Entry = std::remove_reference_t<decltype(std::declval<Header>().entries[0])>;

  explicit KvmArray(size_t entries)
      : bytes_(sizeof(Header) + entries * sizeof(Entry)), count_(entries) {}

  Header* header() { return reinterpret_cast<Header*>(bytes_.data()); }
  // SAFETY: the vector's storage is aligned for any fundamental type, and the entries follow the
  // header as the kernel lays them out.
  std::span<Entry> entries() { return {header()->entries, count_}; }

 private:
  std::vector<std::byte> bytes_;
  size_t count_;
};

}  // namespace holt::vmm
