#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "oci/runtime_spec.h"
#include "rpc/change.h"

namespace holt::guest_agent {

// Mounts of a container's volumes, of which records speak by their sources in the share.
class ReplayVolumes {
 public:
  // Opens them below `root`, in the mount namespace that the caller is in. Those that a later mount
  // hides are left out.
  static ReplayVolumes Open(int root, const oci::Config& config);

  // Lets one change happen again. What cannot be (any more) is silently left out: the next record
  // tells of what it has become. `proc` is a procfs in which "self" is the caller.
  void Apply(const rpc::Change& change, int proc) const;

 private:
  struct Volume {
    std::string source;
    base::UniqueFd mount;  // a writable copy, of which the container does not know
  };
  base::Result<base::UniqueFd> OpenDirectory(const std::string& path) const;
  std::vector<Volume> volumes_;
};

}  // namespace holt::guest_agent
