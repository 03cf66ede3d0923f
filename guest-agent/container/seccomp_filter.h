#pragma once

#include <linux/filter.h>

#include <optional>
#include <vector>

#include "base/result.h"
#include "oci/runtime_spec.h"

namespace holt::guest_agent {

struct SeccompProgram {
  std::vector<sock_filter> instructions;
  unsigned long flags = 0;  // SECCOMP_FILTER_FLAG_*
};

// linux.seccomp compiled by libseccomp. System calls that this libseccomp does not know are left to
// the default action, as other runtimes do.
base::Result<SeccompProgram> CompileSeccomp(const oci::Seccomp& seccomp);

// Loads it for the calling process: needs no_new_privs or CAP_SYS_ADMIN. Async-signal-safe.
// Returns 0 or an errno value.
int LoadSeccomp(const SeccompProgram& program);

// The filter every container gets besides its own: socket(AF_VSOCK) is refused, so that its
// programs do not reach the host's end of the agent's channels. The peers check who calls as well:
// this is the outer of two walls, since 32-bit socketcall(2) and io_uring are not seen by it.
SeccompProgram VsockFilter();

}  // namespace holt::guest_agent
