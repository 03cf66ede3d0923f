#pragma once

#include <string>

#include "base/result.h"

// A disk that comes and goes while the machine runs: a place of virtio-blk's that is always there
// and empty at times. What its driver says of it once, when it finds it, is of no disk.
namespace holt::guest_agent {

// Whether the driver of `name` ("vdb") below `sysfs_block` knows the size by now: the disk's serial
// is there first.
bool HasSize(const std::string& sysfs_block, const std::string& name);

// Nobody in the guest writes to it from now on. The host refuses in any case; so it is said before.
base::Status SetReadOnly(const std::string& name);

// Whether nobody has it for himself: a file system that is still mounted somewhere.
bool IsFree(const std::string& name);

// Takes it from everybody who still has it open, other containers' processes included, and forgets
// what is cached of it: the next disk in its place is another. Waits for what is in flight.
base::Status TakeFromHolders(const std::string& name);

}  // namespace holt::guest_agent
