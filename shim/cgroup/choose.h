#pragma once

#include <string>

#include "base/result.h"
#include "oci/runtime_spec.h"

namespace holt::shim {

// What a command decides about the host's cgroup of a sandbox that it is about to make.
struct CgroupChoice {
  std::string place;    // empty: none, the guest alone enforces the limits
  bool scope = false;   // one of systemd's is to be made there
  std::string warning;  // for the user, when the sandbox was made; empty: nothing to say
};

// `manager` is --cgroup-manager: cgroupfs, systemd or disabled. Without cgroup v2 on the host, or
// with "disabled", a limit that the guest cannot enforce is an error that names it. "systemd" needs
// cgroup v2 and a systemd that runs.
base::Result<CgroupChoice> ChooseCgroup(const std::string& manager, const oci::Config& config,
                                        const std::string& id);

}  // namespace holt::shim
