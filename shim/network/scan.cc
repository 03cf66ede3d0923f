#include "shim/network/scan.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <map>
#include <string>

namespace holt::shim::network {
namespace {

using base::Code;
using base::MakeError;
using base::NetlinkAttributes;
using base::NetlinkMessage;
using base::NetlinkRequest;
using base::NetlinkSocket;
using base::Result;
using base::Status;
using namespace agent::v1;

constexpr size_t kMacBytes = 6;
// What an address keeps in the guest; the rest is about how it came to be.
constexpr uint32_t kAddressFlags = IFA_F_NOPREFIXROUTE;
// The last that the guest's kernel knows (6.12).
constexpr uint16_t kLastRuleAttribute = FRA_DPORT_RANGE;

class Reader {
 public:
  explicit Reader(const std::set<int>& own) : own_(own) {}

  Status Link(const NetlinkMessage& message);
  Status Address(const NetlinkMessage& message);
  Status Route(const NetlinkMessage& message);
  Status Neighbour(const NetlinkMessage& message);
  Status Rule(const NetlinkMessage& message);
  Scan Take() { return std::move(scan_); }

 private:
  template <typename... Args>
  void Refuse(fmt::format_string<Args...> format, Args&&... args) {
    scan_.refused.push_back(MakeError(Code::kUnsupported, format, std::forward<Args>(args)...));
  }
  NetworkInterface* Find(int index) {
    auto it = places_.find(index);
    return it == places_.end() ? nullptr : scan_.config.mutable_interfaces(it->second);
  }

  const std::set<int>& own_;
  Scan scan_;
  std::map<int, int> places_;  // number on the host to place in scan_
};

Status Reader::Link(const NetlinkMessage& message) {
  TRY_ASSIGN(auto header, message.Header<ifinfomsg>());
  TRY_ASSIGN(auto attributes, message.Attributes<ifinfomsg>());
  const bool up = (header.ifi_flags & IFF_UP) != 0;
  if ((header.ifi_flags & IFF_LOOPBACK) != 0 || own_.contains(header.ifi_index)) return {};
  if (attributes.Has(IFLA_MASTER)) return {};
  const std::string name = attributes.String(IFLA_IFNAME);
  if (header.ifi_type != ARPHRD_ETHER) {
    // A kernel with tunnels has one of each kind in every namespace, unused.
    if (up) Refuse("{}: a machine's interfaces are Ethernet, and it is not", name);
    return {};
  }
  NetworkInterface interface;
  interface.set_name(name);
  interface.set_mac(attributes.Bytes(IFLA_ADDRESS));
  interface.set_mtu(attributes.Value<uint32_t>(IFLA_MTU).value_or(0));
  interface.set_up(up);
  if (name.empty() || interface.mac().size() != kMacBytes || interface.mtu() == 0)
    return MakeError(Code::kDataLoss, "interface {} without name, hardware address or MTU",
                     header.ifi_index);
  places_[header.ifi_index] = scan_.config.interfaces_size();
  *scan_.config.add_interfaces() = std::move(interface);
  scan_.indexes.push_back(header.ifi_index);
  return {};
}

Status Reader::Address(const NetlinkMessage& message) {
  TRY_ASSIGN(auto header, message.Header<ifaddrmsg>());
  TRY_ASSIGN(auto attributes, message.Attributes<ifaddrmsg>());
  NetworkInterface* interface = Find(static_cast<int>(header.ifa_index));
  if (interface == nullptr) return {};
  const uint32_t flags = attributes.Value<uint32_t>(IFA_FLAGS).value_or(header.ifa_flags);
  // Somebody else has it.
  if ((flags & IFA_F_DADFAILED) != 0) return {};
  const std::string address = attributes.Bytes(IFA_ADDRESS);
  const std::string local = attributes.Bytes(IFA_LOCAL);
  NetworkAddress* out = interface->add_addresses();
  out->set_address(local.empty() ? address : local);
  if (!local.empty() && local != address) out->set_peer(address);
  out->set_broadcast(attributes.Bytes(IFA_BROADCAST));
  out->set_prefix_length(header.ifa_prefixlen);
  out->set_scope(header.ifa_scope);
  out->set_flags(flags & kAddressFlags);
  return {};
}

// Whether a route says something that addresses do not say already.
bool IsOfInterest(const rtmsg& header, uint32_t table) {
  if (table == RT_TABLE_LOCAL || (header.rtm_flags & RTM_F_CLONED) != 0) return false;
  if (header.rtm_protocol == RTPROT_KERNEL || header.rtm_protocol == RTPROT_REDIRECT) return false;
  switch (header.rtm_type) {
    case RTN_UNICAST:
    case RTN_BLACKHOLE:
    case RTN_UNREACHABLE:
    case RTN_PROHIBIT:
      return true;
    default:
      return false;
  }
}

Status Reader::Route(const NetlinkMessage& message) {
  TRY_ASSIGN(auto header, message.Header<rtmsg>());
  TRY_ASSIGN(auto attributes, message.Attributes<rtmsg>());
  if (header.rtm_family != AF_INET && header.rtm_family != AF_INET6) return {};
  const uint32_t table = attributes.Value<uint32_t>(RTA_TABLE).value_or(header.rtm_table);
  if (!IsOfInterest(header, table)) return {};
  if (attributes.Has(RTA_MULTIPATH)) {
    Refuse("a route with several next hops");
    return {};
  }
  NetworkRoute route;
  if (header.rtm_type == RTN_UNICAST) {
    NetworkInterface* interface = Find(attributes.Value<int32_t>(RTA_OIF).value_or(0));
    if (interface == nullptr) return {};
    route.set_interface(interface->name());
    route.set_gateway(attributes.Bytes(RTA_GATEWAY));
    // An address of the other family: its family's number first.
    const std::string via = attributes.Bytes(RTA_VIA);
    if (via.size() > sizeof(uint16_t)) route.set_gateway(via.substr(sizeof(uint16_t)));
  }
  route.set_family(header.rtm_family);
  route.set_destination(attributes.Bytes(RTA_DST));
  route.set_prefix_length(header.rtm_dst_len);
  route.set_source(attributes.Bytes(RTA_PREFSRC));
  route.set_table(table);
  route.set_protocol(header.rtm_protocol);
  route.set_scope(header.rtm_scope);
  route.set_type(header.rtm_type);
  route.set_priority(attributes.Value<uint32_t>(RTA_PRIORITY).value_or(0));
  route.set_flags(header.rtm_flags & RTNH_F_ONLINK);
  route.set_metrics(attributes.Bytes(RTA_METRICS));
  *scan_.config.add_routes() = std::move(route);
  return {};
}

Status Reader::Neighbour(const NetlinkMessage& message) {
  TRY_ASSIGN(auto header, message.Header<ndmsg>());
  TRY_ASSIGN(auto attributes, message.Attributes<ndmsg>());
  const bool ip = header.ndm_family == AF_INET || header.ndm_family == AF_INET6;
  NetworkInterface* interface = Find(header.ndm_ifindex);
  if (!ip || interface == nullptr || (header.ndm_state & NUD_PERMANENT) == 0) return {};
  const std::string mac = attributes.Bytes(NDA_LLADDR);
  // Groups have theirs by computation, without an address that could be said.
  if (mac.size() != kMacBytes || !attributes.Has(NDA_DST)) return {};
  NetworkNeighbour* out = scan_.config.add_neighbours();
  out->set_interface(interface->name());
  out->set_address(attributes.Bytes(NDA_DST));
  out->set_mac(mac);
  return {};
}

// Every namespace has three: the local table first, the main and the default one last.
bool IsKernels(const fib_rule_hdr& header, const NetlinkAttributes& attributes) {
  const uint32_t priority = attributes.Value<uint32_t>(FRA_PRIORITY).value_or(0);
  const bool selects = header.src_len != 0 || header.dst_len != 0 || header.tos != 0 ||
                       attributes.Has(FRA_FWMARK) || attributes.Has(FRA_IIFNAME) ||
                       attributes.Has(FRA_OIFNAME);
  const bool own = priority == 0 || priority == 32766 || priority == 32767;
  return own && !selects && header.action == FR_ACT_TO_TBL;
}

// Interfaces in it are names, tables are numbers: it means the same in the guest as it is.
Status Reader::Rule(const NetlinkMessage& message) {
  TRY_ASSIGN(auto header, message.Header<fib_rule_hdr>());
  TRY_ASSIGN(auto attributes, message.Attributes<fib_rule_hdr>());
  if (header.family != AF_INET && header.family != AF_INET6) return {};
  if (IsKernels(header, attributes)) return {};
  // What a kernel does not know it leaves out, and the rule is another one.
  if (attributes.Largest() > kLastRuleAttribute) {
    Refuse("the routing rule of priority {} (ip-rule(8))",
           attributes.Value<uint32_t>(FRA_PRIORITY).value_or(0));
    return {};
  }
  // The other flags are the kernel's findings.
  header.flags &= FIB_RULE_INVERT | FIB_RULE_FIND_SADDR;
  std::string bytes(reinterpret_cast<const char*>(message.payload.data()), message.payload.size());
  bytes.replace(0, sizeof header, reinterpret_cast<const char*>(&header), sizeof header);
  scan_.config.add_rules()->set_message(std::move(bytes));
  return {};
}

template <typename Header>
Result<std::vector<NetlinkMessage>> DumpAll(NetlinkSocket& netlink, uint16_t type) {
  NetlinkRequest request(type);
  request.Header(Header{});
  return netlink.Dump(request);
}

}  // namespace

Result<Scan> ReadAnswers(const Answers& answers, const std::set<int>& own) {
  const size_t entries = answers.addresses.size() + answers.routes.size() +
                         answers.neighbours.size() + answers.rules.size();
  if (entries > kMaxEntries)
    return MakeError(Code::kResourceExhausted,
                     "{} addresses, routes, neighbours and rules; a machine takes {}", entries,
                     kMaxEntries);
  Reader reader(own);
  for (const auto& link : answers.links) TRY(reader.Link(link));
  for (const auto& address : answers.addresses) TRY(reader.Address(address));
  for (const auto& route : answers.routes) TRY(reader.Route(route));
  for (const auto& neighbour : answers.neighbours) TRY(reader.Neighbour(neighbour));
  for (const auto& rule : answers.rules) TRY(reader.Rule(rule));
  return reader.Take();
}

Result<Scan> ScanNamespace(NetlinkSocket& netlink, const std::set<int>& own) {
  Answers answers;
  TRY_ASSIGN(answers.links, DumpAll<ifinfomsg>(netlink, RTM_GETLINK));
  TRY_ASSIGN(answers.addresses, DumpAll<ifaddrmsg>(netlink, RTM_GETADDR));
  TRY_ASSIGN(answers.routes, DumpAll<rtmsg>(netlink, RTM_GETROUTE));
  TRY_ASSIGN(answers.neighbours, DumpAll<ndmsg>(netlink, RTM_GETNEIGH));
  auto rules = DumpAll<fib_rule_hdr>(netlink, RTM_GETRULE);
  // A kernel that has no rules has none of somebody's.
  if (!rules && rules.error().err() != EOPNOTSUPP) return std::move(rules).error();
  if (rules) answers.rules = std::move(*rules);
  return ReadAnswers(answers, own);
}

}  // namespace holt::shim::network
