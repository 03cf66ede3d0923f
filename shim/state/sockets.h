#pragma once

#include <set>
#include <string>
#include <vector>

#include "oci/runtime_spec.h"

// Bind mounts of sockets: whether they lead to the host.
namespace holt::shim {

// The destinations of bind mounts of sockets that lead to the host, separated by commas
// (docs/adr/0111-sockets-of-the-host.md).
inline constexpr char kSocketsAnnotation[] = "holt.sockets";
std::set<std::string> SocketDestinations(const oci::Config& config);
// Bind mounts of sockets that do not, by destination: a container will find nobody there.
std::vector<std::string> DeafSockets(const oci::Config& config);

}  // namespace holt::shim
