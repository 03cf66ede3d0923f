#pragma once

#include <optional>

#include "base/result.h"
#include "base/unique_fd.h"
#include "shim/state/layout.h"
#include "shim/state/record.h"

namespace holt::shim {

// The namespaces of a container's stub, open.
struct StubNamespaces {
  base::UniqueFd mounts;
  base::UniqueFd pids;
  base::UniqueFd network;
};

// Nothing when none stands for the container: the pid of its record is the monitor's, or that of a
// command that stands in itself, or of a process that is gone.
std::optional<StubNamespaces> FindStub(const SandboxPaths& paths, const Record& record);

}  // namespace holt::shim
