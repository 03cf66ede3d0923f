#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holt::shim {

// A user id that no other sandbox of this host has, for holt-vmm and QEMU: a process that broke out
// of one machine's VMM cannot touch another's. Ids come from a range that nobody hands out
// otherwise; who has which is told by locks on the bytes of one file, so the kernel takes back what
// a dead monitor held. docs/adr/0060-uid-per-sandbox.md.
class UidLease {
 public:
  // 0x70000000 to 0x7000ffff: "unused" in systemd's table of user ids (UIDS-GIDS.md), above what
  // useradd, subuid files and nss-systemd give.
  static constexpr uid_t kFirst = 0x70000000;
  static constexpr uid_t kCount = 0x10000;
  static constexpr char kDefaultFile[] = "/run/holt-uids.lock";

  // A free id. kResourceExhausted when there is none; kUnsupported in a user namespace that has no
  // such ids.
  static base::Result<UidLease> Take(const std::string& file = kDefaultFile);
  // This very id, if nobody has it: kFailedPrecondition otherwise.
  static base::Result<UidLease> TakeThis(uid_t uid, const std::string& file = kDefaultFile);

  uid_t uid() const { return uid_; }

 private:
  base::UniqueFd lock_;
  uid_t uid_ = 0;
};

}  // namespace holt::shim
