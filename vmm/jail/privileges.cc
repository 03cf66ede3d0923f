#include "vmm/jail/privileges.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace holt::vmm {

using base::Code;
using base::MakeError;

base::Status DropPrivileges() {
  // The bounding set first: dropping from it takes a capability.
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability)
    prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);  // without CAP_SETPCAP: no_new_privs does as well
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
    return HOLT_ERRNO("clear ambient capabilities");
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  if (syscall(SYS_capset, &header, none) != 0) return HOLT_ERRNO("drop capabilities");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return HOLT_ERRNO("set no_new_privs");
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return HOLT_ERRNO("clear dumpable");
  rlimit no_core{0, 0};
  if (setrlimit(RLIMIT_CORE, &no_core) != 0) return HOLT_ERRNO("forbid core dumps");
  return {};
}

base::Status CheckUnprivileged() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) != 0) return HOLT_ERRNO("read capabilities");
  for (const auto& set : data)
    if (set.effective != 0 || set.permitted != 0 || set.inheritable != 0)
      return MakeError(Code::kPermissionDenied, "the process still has capabilities");
  if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
    return MakeError(Code::kPermissionDenied, "the process may still gain privileges");
  return {};
}

}  // namespace holt::vmm
