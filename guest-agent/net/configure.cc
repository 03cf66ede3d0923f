#include "guest-agent/net/configure.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <map>
#include <string>

#include "base/netlink.h"
#include "base/unique_fd.h"

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;
using base::NetlinkRequest;
using base::NetlinkSocket;
using base::Result;
using base::Status;
using namespace agent::v1;

constexpr uint16_t kNew = NLM_F_CREATE | NLM_F_EXCL;
constexpr size_t kIpv4Bytes = 4;
constexpr size_t kIpv6Bytes = 16;

Result<uint8_t> FamilyOf(const std::string& address) {
  if (address.size() == kIpv4Bytes) return uint8_t{AF_INET};
  if (address.size() == kIpv6Bytes) return uint8_t{AF_INET6};
  return MakeError(Code::kInvalidArgument, "an address of {} bytes", address.size());
}

// Numbers of the devices by hardware address.
Result<std::map<std::string, int>> FindDevices(NetlinkSocket& netlink) {
  NetlinkRequest request(RTM_GETLINK);
  request.Header(ifinfomsg{});
  TRY_ASSIGN(auto messages, netlink.Dump(request));
  std::map<std::string, int> devices;
  for (const auto& message : messages) {
    TRY_ASSIGN(auto header, message.Header<ifinfomsg>());
    TRY_ASSIGN(auto attributes, message.Attributes<ifinfomsg>());
    if ((header.ifi_flags & IFF_LOOPBACK) == 0)
      devices[attributes.Bytes(IFLA_ADDRESS)] = header.ifi_index;
  }
  return devices;
}

NetlinkRequest LinkRequest(int index, unsigned flags, unsigned change) {
  NetlinkRequest request(RTM_NEWLINK);
  ifinfomsg header{};
  header.ifi_index = index;
  header.ifi_flags = flags;
  header.ifi_change = change;
  request.Header(header);
  return request;
}

Status Rename(NetlinkSocket& netlink, int index, const std::string& name) {
  NetlinkRequest request = LinkRequest(index, 0, IFF_UP);
  request.String(IFLA_IFNAME, name);
  return netlink.Do(request);
}

Status SetLink(NetlinkSocket& netlink, int index, const NetworkInterface& interface) {
  NetlinkRequest request = LinkRequest(index, 0, 0);
  request.Bytes(IFLA_ADDRESS, interface.mac());
  request.Value<uint32_t>(IFLA_MTU, interface.mtu());
  // The link-local address is among the addresses, or there is none.
  const size_t families = request.Begin(IFLA_AF_SPEC);
  const size_t ipv6 = request.Begin(AF_INET6);
  request.Value<uint8_t>(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
  request.End(ipv6);
  request.End(families);
  return netlink.Do(request);
}

Status AddAddress(NetlinkSocket& netlink, int index, const NetworkAddress& address) {
  TRY_ASSIGN(uint8_t family, FamilyOf(address.address()));
  ifaddrmsg header{};
  header.ifa_family = family;
  header.ifa_prefixlen = static_cast<uint8_t>(address.prefix_length());
  header.ifa_scope = static_cast<uint8_t>(address.scope());
  header.ifa_index = static_cast<uint32_t>(index);
  NetlinkRequest request(RTM_NEWADDR, kNew);
  request.Header(header);
  request.Bytes(IFA_LOCAL, address.address());
  request.Bytes(IFA_ADDRESS, address.peer().empty() ? address.address() : address.peer());
  if (!address.broadcast().empty()) request.Bytes(IFA_BROADCAST, address.broadcast());
  uint32_t flags = address.flags();
  // The host has seen that nobody else has it.
  if (family == AF_INET6) flags |= IFA_F_NODAD;
  request.Value(IFA_FLAGS, flags);
  return netlink.Do(request);
}

Status AddRoute(NetlinkSocket& netlink, const std::map<std::string, int>& interfaces,
                const NetworkRoute& route) {
  rtmsg header{};
  header.rtm_family = static_cast<uint8_t>(route.family());
  header.rtm_dst_len = static_cast<uint8_t>(route.prefix_length());
  header.rtm_table = RT_TABLE_UNSPEC;  // RTA_TABLE says it
  header.rtm_protocol = static_cast<uint8_t>(route.protocol());
  header.rtm_scope = static_cast<uint8_t>(route.scope());
  header.rtm_type = static_cast<uint8_t>(route.type());
  header.rtm_flags = route.flags();
  NetlinkRequest request(RTM_NEWROUTE, kNew);
  request.Header(header);
  request.Value<uint32_t>(RTA_TABLE, route.table());
  if (!route.destination().empty()) request.Bytes(RTA_DST, route.destination());
  if (!route.source().empty()) request.Bytes(RTA_PREFSRC, route.source());
  if (!route.gateway().empty()) {
    TRY_ASSIGN(uint8_t family, FamilyOf(route.gateway()));
    if (family == header.rtm_family) {
      request.Bytes(RTA_GATEWAY, route.gateway());
    } else {
      const uint16_t number = family;
      std::string via(reinterpret_cast<const char*>(&number), sizeof number);
      request.Bytes(RTA_VIA, via + route.gateway());
    }
  }
  if (!route.interface().empty()) {
    auto it = interfaces.find(route.interface());
    if (it == interfaces.end())
      return MakeError(Code::kInvalidArgument, "interface {} does not exist", route.interface());
    request.Value<int32_t>(RTA_OIF, it->second);
  }
  if (route.priority() != 0) request.Value<uint32_t>(RTA_PRIORITY, route.priority());
  if (!route.metrics().empty()) request.Bytes(RTA_METRICS | NLA_F_NESTED, route.metrics());
  Status added = netlink.Do(request);
  // The kernel has made it of an address.
  if (!added && added.error().err() == EEXIST) return {};
  return added;
}

Status AddNeighbour(NetlinkSocket& netlink, int index, const NetworkNeighbour& neighbour) {
  TRY_ASSIGN(uint8_t family, FamilyOf(neighbour.address()));
  ndmsg header{};
  header.ndm_family = family;
  header.ndm_ifindex = index;
  header.ndm_state = NUD_PERMANENT;
  NetlinkRequest request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
  request.Header(header);
  request.Bytes(NDA_DST, neighbour.address());
  request.Bytes(NDA_LLADDR, neighbour.mac());
  return netlink.Do(request);
}

Status AddRoutes(NetlinkSocket& netlink, const std::map<std::string, int>& interfaces,
                 const NetworkConfig& config) {
  // A gateway must be reachable when it is named.
  for (bool with_gateway : {false, true}) {
    for (int i = 0; i < config.routes_size(); ++i) {
      const NetworkRoute& route = config.routes(i);
      if (route.gateway().empty() == with_gateway) continue;
      TRY_CONTEXT(AddRoute(netlink, interfaces, route),
                  fmt::format("route {} over {}", i, route.interface()));
    }
  }
  return {};
}

// Makes the machine known to its IPv4 gateways: one that knows its hardware address by its first
// frame only (passt does) could not reach it before. What goes wrong is the gateway's loss.
void GreetGateways(const NetworkConfig& config) {
  constexpr uint16_t kDiscard = 9;  // RFC 863
  for (const NetworkRoute& route : config.routes()) {
    if (route.gateway().size() != kIpv4Bytes) continue;
    base::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(kDiscard);
    std::memcpy(&to.sin_addr, route.gateway().data(), kIpv4Bytes);
    if (socket) (void)!sendto(socket.get(), "", 1, 0, reinterpret_cast<sockaddr*>(&to), sizeof to);
  }
}

}  // namespace

Status ConfigureNetwork(const NetworkConfig& config) {
  TRY_ASSIGN(NetlinkSocket netlink, NetlinkSocket::Open());
  TRY_ASSIGN(auto devices, FindDevices(netlink));
  std::map<std::string, int> interfaces;
  for (const NetworkInterface& interface : config.interfaces()) {
    auto it = devices.find(interface.device_mac());
    if (it == devices.end())
      return MakeError(Code::kNotFound, "{}: the machine has no such device", interface.name());
    if (!interfaces.emplace(interface.name(), it->second).second)
      return MakeError(Code::kInvalidArgument, "two interfaces {}", interface.name());
    // Out of the way: another one may have to be called as this one is now.
    TRY_CONTEXT(Rename(netlink, it->second, fmt::format("holt-new{}", it->second)),
                interface.name());
  }
  for (const NetworkInterface& interface : config.interfaces()) {
    const int index = interfaces[interface.name()];
    TRY_CONTEXT(Rename(netlink, index, interface.name()), interface.name());
    TRY_CONTEXT(SetLink(netlink, index, interface), interface.name());
    for (const NetworkAddress& address : interface.addresses())
      TRY_CONTEXT(AddAddress(netlink, index, address), interface.name() + ": address");
    if (interface.up())
      TRY_CONTEXT(netlink.Do(LinkRequest(index, IFF_UP, IFF_UP)), interface.name() + ": up");
  }
  TRY(AddRoutes(netlink, interfaces, config));
  for (const NetworkNeighbour& neighbour : config.neighbours()) {
    auto it = interfaces.find(neighbour.interface());
    if (it == interfaces.end())
      return MakeError(Code::kInvalidArgument, "neighbour on {}, which does not exist",
                       neighbour.interface());
    TRY_CONTEXT(AddNeighbour(netlink, it->second, neighbour), it->first + ": neighbour");
  }
  GreetGateways(config);
  return {};
}

}  // namespace holt::guest_agent
