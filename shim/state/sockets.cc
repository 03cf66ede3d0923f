#include "shim/state/sockets.h"

#include <sys/stat.h>

#include <string_view>

#include "shim/state/volumes.h"

namespace holt::shim {

std::set<std::string> SocketDestinations(const oci::Config& config) {
  std::set<std::string> destinations;
  auto annotation = config.annotations.find(kSocketsAnnotation);
  if (annotation == config.annotations.end()) return destinations;
  std::string_view left = annotation->second;
  while (true) {
    const size_t comma = left.find(',');
    if (comma != 0 && !left.empty()) destinations.emplace(left.substr(0, comma));
    if (comma == std::string_view::npos) return destinations;
    left.remove_prefix(comma + 1);
  }
}

std::vector<std::string> DeafSockets(const oci::Config& config) {
  const std::set<std::string> wanted = SocketDestinations(config);
  std::vector<std::string> deaf;
  for (const oci::Mount& mount : config.mounts) {
    struct stat st {};
    if (IsBind(mount) && !wanted.contains(mount.destination) &&
        stat(mount.source.c_str(), &st) == 0 && S_ISSOCK(st.st_mode))
      deaf.push_back(mount.destination);
  }
  return deaf;
}

}  // namespace holt::shim
