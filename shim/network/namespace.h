#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

// Network namespaces as descriptors: held open they exist, and nothing of them has a name.
namespace holt::shim::network {

// A new one, with nothing but a loopback that is down.
base::Result<base::UniqueFd> NewNamespace();

// The one at `path`; kInvalidArgument when that is something else.
base::Result<base::UniqueFd> OpenNamespace(const std::string& path);

// Runs `work` in the namespace, on a thread of its own, and waits for it. The caller's namespace
// stays what it is.
base::Status RunInNamespace(int network_namespace, const std::function<base::Status()>& work);

}  // namespace holt::shim::network
