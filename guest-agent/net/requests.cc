#include "guest-agent/net/requests.h"

#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>

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

// The request for one of a pair of message types.
NetlinkRequest Request(Verb verb, uint16_t add, uint16_t remove, uint16_t add_flags = kNew) {
  return verb == Verb::kAdd ? NetlinkRequest(add, add_flags) : NetlinkRequest(remove);
}

Status Do(NetlinkSocket& netlink, Verb verb, const NetlinkRequest& request) {
  Status done = netlink.Do(request);
  if (done) return done;
  const int err = done.error().err();
  if (verb == Verb::kAdd) return err == EEXIST ? Status() : done;
  // Each part of the kernel has its own word for it.
  constexpr int kNotThere[] = {ESRCH, ENOENT, EADDRNOTAVAIL, ENODEV};
  return std::ranges::find(kNotThere, err) != std::end(kNotThere) ? Status() : done;
}

Result<int> Find(const Indexes& interfaces, const std::string& name) {
  auto it = interfaces.find(name);
  if (it == interfaces.end())
    return MakeError(Code::kInvalidArgument, "interface {} does not exist", name);
  return it->second;
}

}  // namespace

NetlinkRequest LinkRequest(int index, unsigned flags, unsigned change) {
  NetlinkRequest request(RTM_NEWLINK);
  ifinfomsg header{};
  header.ifi_index = index;
  header.ifi_flags = flags;
  header.ifi_change = change;
  request.Header(header);
  return request;
}

Status ChangeAddress(NetlinkSocket& netlink, Verb verb, int index, const NetworkAddress& address) {
  TRY_ASSIGN(uint8_t family, FamilyOf(address.address()));
  ifaddrmsg header{};
  header.ifa_family = family;
  header.ifa_prefixlen = static_cast<uint8_t>(address.prefix_length());
  header.ifa_scope = static_cast<uint8_t>(address.scope());
  header.ifa_index = static_cast<uint32_t>(index);
  NetlinkRequest request = Request(verb, RTM_NEWADDR, RTM_DELADDR);
  request.Header(header);
  request.Bytes(IFA_LOCAL, address.address());
  request.Bytes(IFA_ADDRESS, address.peer().empty() ? address.address() : address.peer());
  if (!address.broadcast().empty()) request.Bytes(IFA_BROADCAST, address.broadcast());
  uint32_t flags = address.flags();
  // The host has seen that nobody else has it.
  if (family == AF_INET6) flags |= IFA_F_NODAD;
  request.Value(IFA_FLAGS, flags);
  return Do(netlink, verb, request);
}

Status ChangeRoute(NetlinkSocket& netlink, Verb verb, const Indexes& interfaces,
                   const NetworkRoute& route) {
  rtmsg header{};
  header.rtm_family = static_cast<uint8_t>(route.family());
  header.rtm_dst_len = static_cast<uint8_t>(route.prefix_length());
  header.rtm_table = RT_TABLE_UNSPEC;  // RTA_TABLE says it
  header.rtm_protocol = static_cast<uint8_t>(route.protocol());
  header.rtm_scope = static_cast<uint8_t>(route.scope());
  header.rtm_type = static_cast<uint8_t>(route.type());
  header.rtm_flags = route.flags();
  NetlinkRequest request = Request(verb, RTM_NEWROUTE, RTM_DELROUTE);
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
    TRY_ASSIGN(const int index, Find(interfaces, route.interface()));
    request.Value<int32_t>(RTA_OIF, index);
  }
  if (route.priority() != 0) request.Value<uint32_t>(RTA_PRIORITY, route.priority());
  if (!route.metrics().empty()) request.Bytes(RTA_METRICS | NLA_F_NESTED, route.metrics());
  // One that is there was made by the kernel, of an address.
  return Do(netlink, verb, request);
}

Status ChangeNeighbour(NetlinkSocket& netlink, Verb verb, const Indexes& interfaces,
                       const NetworkNeighbour& neighbour) {
  TRY_ASSIGN(const int index, Find(interfaces, neighbour.interface()));
  TRY_ASSIGN(uint8_t family, FamilyOf(neighbour.address()));
  ndmsg header{};
  header.ndm_family = family;
  header.ndm_ifindex = index;
  header.ndm_state = NUD_PERMANENT;
  NetlinkRequest request = Request(verb, RTM_NEWNEIGH, RTM_DELNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
  request.Header(header);
  request.Bytes(NDA_DST, neighbour.address());
  if (verb == Verb::kAdd) request.Bytes(NDA_LLADDR, neighbour.mac());
  return Do(netlink, verb, request);
}

Status AskForNeighbour(NetlinkSocket& netlink, const Indexes& interfaces,
                       const std::string& interface, const std::string& address) {
  TRY_ASSIGN(const int index, Find(interfaces, interface));
  TRY_ASSIGN(uint8_t family, FamilyOf(address));
  ndmsg header{};
  header.ndm_family = family;
  header.ndm_ifindex = index;
  header.ndm_flags = NTF_USE;
  NetlinkRequest request(RTM_NEWNEIGH, NLM_F_CREATE);
  request.Header(header);
  request.Bytes(NDA_DST, address);
  return netlink.Do(request);
}

Status ChangeRule(NetlinkSocket& netlink, Verb verb, const NetworkRule& rule) {
  NetlinkRequest request = Request(verb, RTM_NEWRULE, RTM_DELRULE);
  request.Payload(std::as_bytes(std::span(rule.message())));
  return Do(netlink, verb, request);
}

}  // namespace holt::guest_agent
