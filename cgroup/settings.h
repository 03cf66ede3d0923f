#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "oci/runtime_spec.h"

namespace holt::cgroup {

// One write to a file of a cgroup v2 directory.
struct CgroupWrite {
  std::string file;  // "memory.max"
  std::string value;
  std::string property;  // what asked for it, for the error: "linux.resources.memory.limit"
  // With io.weight: what io.bfq.weight takes, which wins where BFQ schedules.
  std::string bfq_value = {};
  bool operator==(const CgroupWrite&) const = default;
};

// linux.resources without `devices` as writes, in an order that works; `unified` comes last and
// wins.
base::Result<std::vector<CgroupWrite>> CgroupWrites(const oci::Resources& resources);

// cgroup v1 cpu.shares (2 to 262144) as v2 cpu.weight (1 to 10000), so that both ends and the
// defaults (1024, 100) meet: the quadratic fit that runc and crun use too.
uint64_t WeightFromShares(uint64_t shares);

// blkio weight (10 to 1000) as io.weight (1 to 10000).
uint64_t IoWeightFromBlkio(uint64_t weight);

}  // namespace holt::cgroup
