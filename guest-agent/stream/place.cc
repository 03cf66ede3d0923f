#include "guest-agent/stream/place.h"

#include <sys/stat.h>

#include <cstdint>

namespace holt::guest_agent {

base::Result<std::string> PlaceForSocket() {
  constexpr char kDirectory[] = "/run/holt-sockets";
  static uint64_t count = 0;
  if (mkdir(kDirectory, 0700) != 0 && errno != EEXIST) return HOLT_ERRNO("{}", kDirectory);
  return fmt::format("{}/{}", kDirectory, ++count);
}

}  // namespace holt::guest_agent
