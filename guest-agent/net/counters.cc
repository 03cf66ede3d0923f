#include "guest-agent/net/counters.h"

#include <charconv>

#include "base/file.h"

namespace holt::guest_agent {
namespace {

constexpr size_t kMaxNetDev = 1 << 20;

// The next number of a line of columns.
uint64_t Next(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  uint64_t value = 0;
  auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
  line.remove_prefix(static_cast<size_t>(end - line.data()));
  return value;
}

}  // namespace

std::vector<InterfaceCounters> ParseNetDev(std::string_view text) {
  std::vector<InterfaceCounters> out;
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    // "  eth0: 1 2 3 ...": a name may have colons (an alias), numbers have none; the two lines of
    // headings have no colon at all.
    size_t colon = line.rfind(':');
    size_t begin = line.find_first_not_of(' ');
    if (colon == std::string_view::npos || begin >= colon) continue;
    InterfaceCounters counters;
    counters.name = line.substr(begin, colon - begin);
    if (counters.name == "lo") continue;
    line.remove_prefix(colon + 1);
    // net/core/net-procfs.c: bytes packets errs drop fifo frame compressed multicast, then sent.
    uint64_t numbers[12] = {};
    for (uint64_t& number : numbers) number = Next(line);
    counters.rx_bytes = numbers[0];
    counters.rx_packets = numbers[1];
    counters.rx_errors = numbers[2];
    counters.rx_dropped = numbers[3];
    counters.tx_bytes = numbers[8];
    counters.tx_packets = numbers[9];
    counters.tx_errors = numbers[10];
    counters.tx_dropped = numbers[11];
    out.push_back(std::move(counters));
  }
  return out;
}

std::vector<InterfaceCounters> ReadInterfaces(pid_t pid) {
  auto text = base::ReadFile(fmt::format("/proc/{}/net/dev", pid), kMaxNetDev);
  return text ? ParseNetDev(*text) : std::vector<InterfaceCounters>();
}

}  // namespace holt::guest_agent
