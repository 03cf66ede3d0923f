#pragma once

#include <string>
#include <vector>

#include "oci/runtime_spec.h"

// The bind mounts of a configuration, which the monitor mounts in its share and the stub shows.
namespace holt::shim {

// Whether it brings files of the host; what is remounted has been bound by an earlier one.
bool IsBind(const oci::Mount& mount);

// The n-th bind mount's place below the container's directory of the share: "mounts/<n>".
std::string PlaceOfVolume(size_t n);

struct Volume {
  std::string place;
  std::string destination;  // hostile
};
// In the configuration's order.
std::vector<Volume> VolumesOf(const oci::Config& config);

}  // namespace holt::shim
