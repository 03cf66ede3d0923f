#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/user_namespace.h"
#include "oci/runtime_spec.h"

namespace holt::oci {

// The id outside of the user namespace that `id` of the container is. Without mappings there is no
// such namespace, and it is itself; nothing: the mappings do not have it.
inline std::optional<uint32_t> OutsideId(const std::vector<IdMapping>& mappings, uint32_t id) {
  if (mappings.empty()) return id;
  for (const IdMapping& mapping : mappings)
    if (id >= mapping.container_id && id - mapping.container_id < mapping.size)
      return mapping.host_id + (id - mapping.container_id);
  return std::nullopt;
}

// The same as the kernel takes it.
inline std::vector<base::IdRange> IdRanges(const std::vector<IdMapping>& mappings) {
  std::vector<base::IdRange> ranges;
  ranges.reserve(mappings.size());
  for (const IdMapping& mapping : mappings)
    ranges.push_back({mapping.container_id, mapping.host_id, mapping.size});
  return ranges;
}

}  // namespace holt::oci
