#include "vmm/devices/bus.h"

#include <algorithm>

namespace holt::vmm {

using base::Code;
using base::MakeError;

base::Status Bus::Add(uint64_t start, uint64_t bytes, BusDevice* device) {
  uint64_t end = 0;
  if (bytes == 0 || __builtin_add_overflow(start, bytes, &end))
    return MakeError(Code::kInvalidArgument, "{:#x} bytes at {:#x} of a bus", bytes, start);
  auto after = ranges_.lower_bound(start);
  const bool meets_next = after != ranges_.end() && after->first < end;
  const bool meets_previous =
      after != ranges_.begin() && std::prev(after)->first + std::prev(after)->second.bytes > start;
  if (meets_next || meets_previous)
    return MakeError(Code::kAlreadyExists, "two devices at {:#x} of a bus", start);
  ranges_[start] = {bytes, device};
  return {};
}

const std::pair<const uint64_t, Bus::Range>* Bus::Find(uint64_t address, size_t bytes) const {
  auto after = ranges_.upper_bound(address);
  if (after == ranges_.begin()) return nullptr;
  const auto& entry = *std::prev(after);
  const uint64_t offset = address - entry.first;
  const bool inside = offset < entry.second.bytes && bytes <= entry.second.bytes - offset;
  return inside ? &entry : nullptr;
}

void Bus::Read(uint64_t address, std::span<std::byte> out) const {
  const auto* entry = Find(address, out.size());
  if (entry != nullptr) return entry->second.device->Read(address - entry->first, out);
  std::ranges::fill(out, std::byte{0xff});
}

void Bus::Write(uint64_t address, std::span<const std::byte> data) const {
  const auto* entry = Find(address, data.size());
  if (entry != nullptr) entry->second.device->Write(address - entry->first, data);
}

}  // namespace holt::vmm
