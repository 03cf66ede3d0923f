#pragma once

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace holt::vmm {

// KVM's structs that end in an array: kvm_cpuid2, kvm_msrs and kvm_irq_routing all begin with a
// count and 32 more bits. Made here because in C++ linux/kvm.h's own have another size and layout
// (an empty struct before the array, which is no byte in C and one in C++), and with it other
// numbers of the ioctls that take them.
template <typename T>
class KvmArray {
 public:
  // Room for `entries`, all zero.
  explicit KvmArray(size_t entries) : bytes_(kHeaderBytes + entries * sizeof(T)) {
    SetCount(static_cast<uint32_t>(entries));
  }

  void* data() { return bytes_.data(); }
  uint32_t count() const {
    uint32_t count;
    std::memcpy(&count, bytes_.data(), sizeof count);
    return count;
  }
  T Get(size_t index) const {
    T entry;
    std::memcpy(&entry, bytes_.data() + kHeaderBytes + index * sizeof(T), sizeof entry);
    return entry;
  }
  void Set(size_t index, const T& entry) {
    std::memcpy(bytes_.data() + kHeaderBytes + index * sizeof(T), &entry, sizeof entry);
  }

 private:
  static constexpr size_t kHeaderBytes = 8;
  void SetCount(uint32_t count) { std::memcpy(bytes_.data(), &count, sizeof count); }

  std::vector<std::byte> bytes_;
};

// The same ioctls with the header's size in C.
inline constexpr unsigned long kKvmGetSupportedCpuid = _IOWR(KVMIO, 0x05, uint64_t);
inline constexpr unsigned long kKvmSetGsiRouting = _IOW(KVMIO, 0x6a, uint64_t);
inline constexpr unsigned long kKvmSetMsrs = _IOW(KVMIO, 0x89, uint64_t);
inline constexpr unsigned long kKvmSetCpuid2 = _IOW(KVMIO, 0x90, uint64_t);

}  // namespace holt::vmm
