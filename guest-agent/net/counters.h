#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace holt::guest_agent {

// What went through a network interface.
struct InterfaceCounters {
  std::string name;
  uint64_t rx_bytes = 0;
  uint64_t rx_packets = 0;
  uint64_t rx_errors = 0;
  uint64_t rx_dropped = 0;
  uint64_t tx_bytes = 0;
  uint64_t tx_packets = 0;
  uint64_t tx_errors = 0;
  uint64_t tx_dropped = 0;
  bool operator==(const InterfaceCounters&) const = default;
};

// The text of /proc/<pid>/net/dev, loopback left out.
std::vector<InterfaceCounters> ParseNetDev(std::string_view text);

// The interfaces of the network namespace that process `pid` is in; none when it is gone.
std::vector<InterfaceCounters> ReadInterfaces(pid_t pid);

}  // namespace holt::guest_agent
