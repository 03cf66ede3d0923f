#pragma once

#include "base/result.h"
#include "base/unique_fd.h"

// What holt-fsd gives up before it looks at the first byte from a guest. Each function is called
// once, in this order, while the process has one thread (InstallSeccomp: when all threads run).
namespace holt::fsd {

// Raises the limit of open files as far as allowed; the number it is then. Other limits and signals
// that a guest could use to stop the process are set harmless.
base::Result<size_t> SetLimits();

// Moves into mount, network, ipc and uts namespaces of its own whose root is `shared_dir`, with the
// mounts below it, those that come later included. The mounts become nosuid, nodev, noexec here,
// and with `read_only` read-only. The working directory is /proc/self/fd (see ProcPath). Returns
// the root.
base::Result<base::UniqueFd> EnterNamespaces(int shared_dir, bool read_only);

// Keeps the capabilities that serving needs (docs/adr/0032-fsd-sandbox.md), none to gain:
// no_new_privs.
base::Status DropCapabilities();

// The allow-list, on every thread. Anything else ends the process.
base::Status InstallSeccomp();

}  // namespace holt::fsd
