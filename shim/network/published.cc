#include "shim/network/published.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <charconv>
#include <map>

#include "base/unique_fd.h"

namespace holt::shim::network {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

constexpr char kForm[] = "[ADDRESS:]HOST:CONTAINER[/tcp|/udp]";

Result<uint16_t> ParsePort(std::string_view text) {
  uint16_t port = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0)
    return MakeError(Code::kInvalidArgument, "\"{}\" is not a port from 1 to 65535", text);
  return port;
}

struct Range {
  uint16_t first = 0;
  uint16_t count = 1;
};
Result<Range> ParseRange(std::string_view text) {
  const size_t dash = text.find('-');
  TRY_ASSIGN(const uint16_t first, ParsePort(text.substr(0, dash)));
  if (dash == std::string_view::npos) return Range{first, 1};
  TRY_ASSIGN(const uint16_t last, ParsePort(text.substr(dash + 1)));
  if (last < first)
    return MakeError(Code::kInvalidArgument, "\"{}\" is not a range of ports", text);
  return Range{first, static_cast<uint16_t>(last - first + 1)};
}

// Empty for what is no address.
int FamilyOf(const std::string& address) {
  in6_addr ignored{};
  if (inet_pton(AF_INET, address.c_str(), &ignored) == 1) return AF_INET;
  if (inet_pton(AF_INET6, address.c_str(), &ignored) == 1) return AF_INET6;
  return AF_UNSPEC;
}

// Takes "ADDRESS:" off the front of `text`.
Result<std::string> TakeAddress(std::string_view& text) {
  if (text.starts_with('[')) {
    const size_t end = text.find("]:");
    if (end == std::string_view::npos)
      return MakeError(Code::kInvalidArgument, "\"{}\" is not {}", text, kForm);
    std::string address(text.substr(1, end - 1));
    text.remove_prefix(end + 2);
    if (FamilyOf(address) != AF_INET6)
      return MakeError(Code::kInvalidArgument, "\"{}\" is not an IPv6 address", address);
    return address;
  }
  const size_t last = text.rfind(':');
  const size_t colon = last == std::string_view::npos ? last : text.substr(0, last).rfind(':');
  if (colon == std::string_view::npos) return std::string();
  std::string address(text.substr(0, colon));
  text.remove_prefix(colon + 1);
  if (FamilyOf(address) != AF_INET)
    return MakeError(Code::kInvalidArgument,
                     "\"{}\" is not an IPv4 address (an IPv6 one stands in brackets)", address);
  return address;
}

bool IsLoopback(const std::string& address) {
  return address.starts_with("127.") || address == "::1";
}

const char* Protocol(const Published& published) { return published.udp ? "udp" : "tcp"; }

Status TryToBind(const Published& published, int family, uint16_t port) {
  base::UniqueFd socket(
      ::socket(family, (published.udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0));
  if (!socket) return HOLT_ERRNO("socket");
  // As servers have it: what is left of connections that ended is in nobody's way.
  const int on = 1;
  if (!published.udp) (void)setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_storage address{};
  socklen_t size = sizeof(sockaddr_in);
  address.ss_family = static_cast<sa_family_t>(family);
  if (family == AF_INET) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(address);
    v4.sin_port = htons(port);
    if (!published.address.empty()) inet_pton(AF_INET, published.address.c_str(), &v4.sin_addr);
  } else {
    (void)setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
    v6.sin6_port = htons(port);
    if (!published.address.empty()) inet_pton(AF_INET6, published.address.c_str(), &v6.sin6_addr);
    size = sizeof v6;
  }
  if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      (!published.udp && listen(socket.get(), 1) != 0))
    return HOLT_ERRNO("publish port {}/{}{}", port, Protocol(published),
                      published.address.empty() ? "" : " of " + published.address);
  return {};
}

}  // namespace

Result<Published> ParsePublished(std::string_view text) {
  Published out;
  const size_t slash = text.rfind('/');
  if (slash != std::string_view::npos) {
    const std::string_view protocol = text.substr(slash + 1);
    if (protocol != "tcp" && protocol != "udp")
      return MakeError(Code::kInvalidArgument, "\"{}\": ports of tcp and udp can be published",
                       protocol);
    out.udp = protocol == "udp";
    text = text.substr(0, slash);
  }
  TRY_ASSIGN(out.address, TakeAddress(text));
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos)
    return MakeError(Code::kInvalidArgument, "\"{}\" is not {}", text, kForm);
  TRY_ASSIGN(const Range host, ParseRange(text.substr(0, colon)));
  TRY_ASSIGN(const Range guest, ParseRange(text.substr(colon + 1)));
  if (host.count != guest.count)
    return MakeError(Code::kInvalidArgument, "\"{}\": {} ports cannot lead to {}", text, host.count,
                     guest.count);
  out.host = host.first;
  out.guest = guest.first;
  out.count = host.count;
  return out;
}

Status CheckPublished(const std::vector<Published>& published, bool ipv4, bool ipv6) {
  // passt has one table for each protocol, whatever the address.
  std::map<std::pair<bool, uint32_t>, uint32_t> leads;
  for (const Published& ports : published) {
    const int family = ports.address.empty() ? AF_UNSPEC : FamilyOf(ports.address);
    if ((family == AF_INET && !ipv4) || (family == AF_INET6 && !ipv6))
      return MakeError(Code::kInvalidArgument, "publish on {}: the host's network has no {}",
                       ports.address, family == AF_INET ? "IPv4" : "IPv6");
    // Its answers would go to the gateway's address, which passt is told to leave alone.
    if (ports.udp && IsLoopback(ports.address))
      return MakeError(Code::kUnsupported,
                       "publish on {}: datagrams of the host's loopback are not answered",
                       ports.address);
    for (uint32_t i = 0; i < ports.count; ++i) {
      const auto [it, fresh] = leads.emplace(std::pair(ports.udp, ports.host + i), ports.guest + i);
      if (!fresh && it->second != ports.guest + i)
        return MakeError(Code::kAlreadyExists, "publish port {}/{}: leads to {} already",
                         ports.host + i, Protocol(ports), it->second);
      for (const int each : {AF_INET, AF_INET6}) {
        if (family != AF_UNSPEC ? family != each : !(each == AF_INET ? ipv4 : ipv6)) continue;
        TRY(TryToBind(ports, each, static_cast<uint16_t>(ports.host + i)));
      }
    }
  }
  return {};
}

}  // namespace holt::shim::network
