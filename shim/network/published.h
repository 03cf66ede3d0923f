#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holt::shim::network {

// Ports of the host's that lead into the container: `count` of them, one after the other, to as
// many of the container's.
struct Published {
  bool udp = false;     // otherwise TCP
  std::string address;  // of the host's, IPv4 or IPv6; empty: all
  uint16_t host = 0;
  uint16_t guest = 0;
  uint16_t count = 1;
};

// "[ADDRESS:]HOST[-HOST]:GUEST[-GUEST][/tcp|/udp]" as Docker and Podman write it, an IPv6 address
// in brackets. kInvalidArgument names what is wrong with it.
base::Result<Published> ParsePublished(std::string_view text);

// All of them together: kAlreadyExists for a host's port that is to lead to two places,
// kInvalidArgument for an address of a family that the host's network does not have, kUnsupported
// for UDP on the host's loopback, and whatever keeps a port from being bound now (it is in use, the
// address is not the host's), by its number.
base::Status CheckPublished(const std::vector<Published>& published, bool ipv4, bool ipv6);

}  // namespace holt::shim::network
