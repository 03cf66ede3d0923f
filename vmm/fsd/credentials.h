#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/result.h"

namespace holt::fsd {

// Who the calling thread is to the file system. One object per thread, used only there. Every
// switch is lazy: a thread that goes on as the same user makes no system call.
class Credentials {
 public:
  // What holds for the whole process, once, before threads start: file capabilities survive a
  // change of fsuid (SECBIT_NO_SETUID_FIXUP). kPermissionDenied without CAP_SETPCAP.
  static base::Status KeepCapabilitiesAcrossUsers();

  // Looks at the calling thread.
  Credentials();

  // Files made from here on belong to these. EPERM when the process may not become them.
  int Become(uid_t uid, gid_t gid);
  // The file mode creation mask of the thread (which must have its own: unshare(CLONE_FS)).
  void SetUmask(mode_t mask);
  // Without CAP_FSETID the kernel clears set-user-id and set-group-id bits on write and truncate,
  // and the set-group-id bit on chmod by someone outside the group; with it, it does not.
  void SetFsetid(bool effective);

 private:
  uid_t uid_;
  gid_t gid_;
  mode_t umask_;
  bool may_switch_;
  bool has_fsetid_;  // permitted
  bool fsetid_effective_;
};

}  // namespace holt::fsd
