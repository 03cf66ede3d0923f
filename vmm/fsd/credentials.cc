#include "vmm/fsd/credentials.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace holt::fsd {
namespace {

// The raw calls: glibc has no wrapper, and libcap's allocates.
bool GetCapabilities(__user_cap_data_struct (&data)[2]) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  return syscall(SYS_capget, &header, data) == 0;
}

bool SetCapabilities(const __user_cap_data_struct (&data)[2]) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  return syscall(SYS_capset, &header, data) == 0;
}

constexpr uint32_t Bit(int capability) { return 1u << capability; }

}  // namespace

base::Status Credentials::KeepCapabilitiesAcrossUsers() {
  long bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
  if (bits < 0) return HOLT_ERRNO("PR_GET_SECUREBITS");
  if (prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP, 0, 0, 0) != 0)
    return HOLT_ERRNO("PR_SET_SECUREBITS");
  return {};
}

Credentials::Credentials() {
  // An id of -1 changes nothing and tells the present one.
  uid_ = static_cast<uid_t>(setfsuid(static_cast<uid_t>(-1)));
  gid_ = static_cast<gid_t>(setfsgid(static_cast<gid_t>(-1)));
  umask_ = umask(0);
  umask(umask_);
  __user_cap_data_struct data[2]{};
  const bool known = GetCapabilities(data);
  const uint32_t both = Bit(CAP_SETUID) | Bit(CAP_SETGID);
  may_switch_ = known && (data[0].effective & both) == both;
  has_fsetid_ = known && (data[0].permitted & Bit(CAP_FSETID)) != 0;
  fsetid_effective_ = known && (data[0].effective & Bit(CAP_FSETID)) != 0;
}

int Credentials::Become(uid_t uid, gid_t gid) {
  if (uid == uid_ && gid == gid_) return 0;
  if (uid == static_cast<uid_t>(-1) || gid == static_cast<gid_t>(-1)) return EINVAL;
  if (!may_switch_) return EPERM;
  if (gid != gid_) {
    setfsgid(gid);
    gid_ = gid;
  }
  if (uid != uid_) {
    setfsuid(uid);
    uid_ = uid;
  }
  return 0;
}

void Credentials::SetUmask(mode_t mask) {
  mask &= 0777;
  if (mask == umask_) return;
  umask(mask);
  umask_ = mask;
}

void Credentials::SetFsetid(bool effective) {
  if (!has_fsetid_ || effective == fsetid_effective_) return;
  __user_cap_data_struct data[2]{};
  if (!GetCapabilities(data)) return;
  if (effective) {
    data[0].effective |= Bit(CAP_FSETID);
  } else {
    data[0].effective &= ~Bit(CAP_FSETID);
  }
  if (SetCapabilities(data)) fsetid_effective_ = effective;
}

}  // namespace holt::fsd
