#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "guest-agent/container/user_database.h"
#include "oci/runtime_spec.h"

// What a container's process gives up and takes on between set-up and exec. All of it acts on the
// calling process.
namespace holt::guest_agent {

struct CapabilityMasks {
  uint64_t bounding = 0;
  uint64_t effective = 0;
  uint64_t inheritable = 0;
  uint64_t permitted = 0;
  uint64_t ambient = 0;
  std::vector<std::string> unknown;  // names neither libcap nor the kernel knows: a warning
};
// Absent capabilities are none at all.
CapabilityMasks ResolveCapabilities(const std::optional<oci::Capabilities>& capabilities);

base::Status SetRlimits(const std::vector<oci::Rlimit>& rlimits);
base::Status SetScheduler(const oci::Scheduler& scheduler);
base::Status SetIoPriority(const oci::IoPriority& priority);
base::Status SetPersonality(const oci::Personality& personality);

// Drops the bounding set, changes groups, gid and uid, and sets the other four sets.
base::Status SwitchUser(const ResolvedUser& user, const CapabilityMasks& masks);

}  // namespace holt::guest_agent
