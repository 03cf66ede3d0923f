#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holt::base {

// `size` ids from `inside` on in a user namespace are those from `outside` on of ours.
struct IdRange {
  uint32_t inside = 0;
  uint32_t outside = 0;
  uint32_t size = 0;
};

// A new user namespace with these ids, as a descriptor for setns(2) or mount_setattr(2); needs
// CAP_SETUID and CAP_SETGID. Forks, and waits for the child: not for a program that waits for any
// child in another thread.
Result<UniqueFd> MakeUserNamespace(const std::vector<IdRange>& uids,
                                   const std::vector<IdRange>& gids);

}  // namespace holt::base
