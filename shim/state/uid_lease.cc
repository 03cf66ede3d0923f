#include "shim/state/uid_lease.h"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <cstdio>

#include "base/file.h"
#include "shim/state/byte_lock.h"

namespace holt::shim {
namespace {

using base::Code;
using base::UniqueFd;

// In a user namespace an id may have no meaning.
base::Status CheckMapped() {
  TRY_ASSIGN(std::string map, base::ReadFile("/proc/self/uid_map", 64 << 10));
  size_t at = 0;
  while (at < map.size()) {
    unsigned long inside = 0;
    unsigned long outside = 0;
    unsigned long count = 0;
    if (sscanf(map.c_str() + at, "%lu %lu %lu", &inside, &outside, &count) == 3 &&
        inside <= UidLease::kFirst && inside + count >= UidLease::kFirst + UidLease::kCount)
      return {};
    at = map.find('\n', at);
    if (at == std::string::npos) break;
    ++at;
  }
  return base::MakeError(
      Code::kUnsupported,
      "user ids {} to {} do not exist in this user namespace; each sandbox needs one",
      UidLease::kFirst, UidLease::kFirst + UidLease::kCount - 1);
}

}  // namespace

base::Result<UidLease> UidLease::Take(const std::string& file) {
  TRY(CheckMapped());
  UidLease lease;
  TRY_ASSIGN(lease.lock_, base::Open(file, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  // From a random place on: an id just given back is not the next one taken.
  uint16_t start = 0;
  HOLT_CHECK(getrandom(&start, sizeof start, 0) == static_cast<ssize_t>(sizeof start));
  for (uid_t i = 0; i < kCount; ++i) {
    uid_t index = (start + i) % kCount;
    TRY_ASSIGN(bool taken, TryLockByte(lease.lock_.get(), index));
    if (!taken) continue;
    lease.uid_ = kFirst + index;
    return lease;
  }
  return base::MakeError(Code::kResourceExhausted, "all {} user ids for sandboxes are in use",
                         kCount);
}

base::Result<UidLease> UidLease::TakeThis(uid_t uid, const std::string& file) {
  if (uid < kFirst || uid >= kFirst + kCount)
    return base::MakeError(Code::kInvalidArgument, "user id {} is not one for sandboxes", uid);
  UidLease lease;
  TRY_ASSIGN(lease.lock_, base::Open(file, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  TRY_ASSIGN(bool taken, TryLockByte(lease.lock_.get(), uid - kFirst));
  if (!taken) return base::MakeError(Code::kFailedPrecondition, "user id {} is in use", uid);
  lease.uid_ = uid;
  return lease;
}

}  // namespace holt::shim
