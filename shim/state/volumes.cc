#include "shim/state/volumes.h"

#include <algorithm>

namespace holt::shim {
namespace {

bool HasOption(const oci::Mount& mount, std::string_view option) {
  return std::find(mount.options.begin(), mount.options.end(), option) != mount.options.end();
}

}  // namespace

bool IsBind(const oci::Mount& mount) {
  if (HasOption(mount, "remount")) return false;
  return mount.type == "bind" || HasOption(mount, "bind") || HasOption(mount, "rbind");
}

std::string PlaceOfVolume(size_t n) { return "mounts/" + std::to_string(n); }

std::vector<Volume> VolumesOf(const oci::Config& config) {
  std::vector<Volume> volumes;
  for (const oci::Mount& mount : config.mounts)
    if (IsBind(mount)) volumes.push_back({PlaceOfVolume(volumes.size()), mount.destination});
  return volumes;
}

}  // namespace holt::shim
