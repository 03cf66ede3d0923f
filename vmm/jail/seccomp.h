#pragma once

#include "base/result.h"

namespace holt::vmm {

// Which system calls are left to a machine that is set up.
enum class SeccompPolicy {
  kKvm,       // its vCPU threads run KVM_RUN
  kSoftware,  // no /dev/kvm at all
};

// Installs the allow-list on every thread of the process, present and to come. Anything else kills
// the process. Needs no_new_privs.
base::Status InstallSeccomp(SeccompPolicy policy);

}  // namespace holt::vmm
