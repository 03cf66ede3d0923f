#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "oci/runtime_spec.h"

// Mounts that show other owners than the file system has (mount_setattr(2), "ID-mapped mounts").
// Done on the host: it is the guest that must not be able to choose.
namespace holt::shim {

struct IdMappings {
  std::vector<oci::IdMapping> uids;
  std::vector<oci::IdMapping> gids;
  bool recursive = false;  // mounts below it, too ("ridmap")
};

// The mappings of `mount`, or, for one that has none of its own, those of the container's user
// namespace (linux.uidMappings). Nothing: its owners are shown as they are.
base::Result<std::optional<IdMappings>> FindIdMappings(const oci::Mount& mount,
                                                       const oci::Config& config);

// Binds `source` on `target`, owners mapped: who is `containerID` there is shown as `hostID`.
base::Status BindIdMapped(const std::string& source, const std::string& target, bool recursive,
                          const IdMappings& mappings);

}  // namespace holt::shim
