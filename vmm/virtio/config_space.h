#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

namespace holt::vmm {

// Copies the part of `config` that starts at `offset` to the start of `out`; what lies beyond the
// end of `config` is left alone. For VirtioDevice::ReadConfig, whose offset is the guest's choice.
template <typename T>
void CopyConfig(const T& config, uint32_t offset, std::span<std::byte> out) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (offset >= sizeof(T)) return;
  const size_t bytes = std::min<size_t>(out.size(), sizeof(T) - offset);
  std::memcpy(out.data(), reinterpret_cast<const std::byte*>(&config) + offset, bytes);
}

}  // namespace holt::vmm
