#pragma once

#include "base/result.h"

namespace holt::vmm {

// Which system calls are left to a machine that is set up.
enum class SeccompPolicy {
  kKvm,       // its vCPU threads run KVM_RUN
  kSoftware,  // no /dev/kvm at all
};

// What a machine may have beyond that.
struct SeccompExtras {
  // io_uring_enter, to run rings that exist and are restricted (vmm/devices/blk_ring.h). Not to
  // make another.
  bool rings = false;
};

// Installs the allow-list on every thread of the process, present and to come. Anything else kills
// the process. Needs no_new_privs.
base::Status InstallSeccomp(SeccompPolicy policy, SeccompExtras extras = {});

}  // namespace holt::vmm
