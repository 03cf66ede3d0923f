#include "shim/network/user_network.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <set>
#include <sstream>

#include "base/file.h"
#include "base/netlink.h"

namespace holt::shim::network {
namespace {

using base::Code;
using base::MakeError;
using base::NetlinkMessage;
using base::NetlinkRequest;
using base::NetlinkSocket;
using base::Result;

// The largest that passt takes: nothing is cut up between it and the machine.
constexpr uint32_t kMtu = 65520;

struct Family {
  int number;
  const char* address;
  uint32_t prefix_length;
  const char* broadcast;
  const char* gateway;
  const char* resolver;
};
constexpr Family kIpv4 = {AF_INET, "10.0.2.15", 24, "10.0.2.255", "10.0.2.2", "10.0.2.3"};
// The gateway is of the link, as passt wants it; whoever connects from the host itself has its
// address, too.
constexpr Family kIpv6 = {AF_INET6, "fd68:6f6c:7400::15", 64, "", "fe80::2", "fd68:6f6c:7400::3"};
// Made of kUserMac (RFC 4291, 2.5.1).
constexpr char kLinkLocal[] = "fe80::68:6fff:fe6c:7400";
constexpr uint32_t kLinkLocalPrefix = 64;

std::vector<Family> Chosen(Families families) {
  std::vector<Family> chosen;
  if (families.ipv4) chosen.push_back(kIpv4);
  if (families.ipv6) chosen.push_back(kIpv6);
  return chosen;
}

std::string Bytes(int family, const char* address) {
  char value[sizeof(in6_addr)];
  HOLT_CHECK(inet_pton(family, address, value) == 1);
  return {value, family == AF_INET ? sizeof(in_addr) : sizeof(in6_addr)};
}

void AddAddress(agent::v1::NetworkInterface& interface, int family, const char* text,
                uint32_t prefix_length, const char* broadcast, uint32_t scope) {
  agent::v1::NetworkAddress* address = interface.add_addresses();
  address->set_address(Bytes(family, text));
  if (*broadcast != '\0') address->set_broadcast(Bytes(family, broadcast));
  address->set_prefix_length(prefix_length);
  address->set_scope(scope);
}

template <typename Header>
Result<std::vector<NetlinkMessage>> Dump(NetlinkSocket& netlink, uint16_t type) {
  NetlinkRequest request(type);
  request.Header(Header{});
  return netlink.Dump(request);
}

// passt's words for it: "127.0.0.1/8080:80", "8000-8009:9000-9009".
std::string Spec(const Published& published) {
  auto range = [&](uint16_t first) {
    return published.count == 1 ? fmt::format("{}", first)
                                : fmt::format("{}-{}", first, first + published.count - 1);
  };
  return (published.address.empty() ? "" : published.address + "/") +
         fmt::format("{}:{}", range(published.host), range(published.guest));
}

}  // namespace

Result<Families> UsableFamilies() {
  TRY_ASSIGN(NetlinkSocket netlink, NetlinkSocket::Open());
  TRY_ASSIGN(auto routes, Dump<rtmsg>(netlink, RTM_GETROUTE));
  TRY_ASSIGN(auto addresses, Dump<ifaddrmsg>(netlink, RTM_GETADDR));
  std::set<uint32_t> global6;
  std::set<uint32_t> link6;
  for (const NetlinkMessage& message : addresses) {
    TRY_ASSIGN(auto header, message.Header<ifaddrmsg>());
    if (header.ifa_family != AF_INET6) continue;
    if (header.ifa_scope == RT_SCOPE_UNIVERSE) global6.insert(header.ifa_index);
    if (header.ifa_scope == RT_SCOPE_LINK) link6.insert(header.ifa_index);
  }
  Families families;
  for (const NetlinkMessage& message : routes) {
    TRY_ASSIGN(auto header, message.Header<rtmsg>());
    TRY_ASSIGN(auto attributes, message.Attributes<rtmsg>());
    const uint32_t table = attributes.Value<uint32_t>(RTA_TABLE).value_or(header.rtm_table);
    if (header.rtm_dst_len != 0 || header.rtm_type != RTN_UNICAST || table != RT_TABLE_MAIN)
      continue;
    const uint32_t interface = attributes.Value<uint32_t>(RTA_OIF).value_or(0);
    if (header.rtm_family == AF_INET) families.ipv4 = true;
    // passt goes without IPv6 where an interface has no address on its link (yet).
    if (header.rtm_family == AF_INET6 && global6.contains(interface) && link6.contains(interface))
      families.ipv6 = true;
  }
  if (!families.ipv4 && !families.ipv6)
    return base::Error(Code::kFailedPrecondition, "the host has no default route");
  return families;
}

Result<std::string> FindPasst() {
  for (const char* path : {"/usr/bin/passt", "/usr/local/bin/passt"})
    if (base::PathExists(path)) return path;
  return MakeError(Code::kNotFound, "passt is not installed (Debian's package has that name)");
}

std::vector<std::string> PasstArgv(const std::string& passt, int fd, uid_t uid, Families families,
                                   const std::vector<Published>& published) {
  std::vector<std::string> argv = {passt, "--foreground", "--quiet", "--stderr", "--fd",
                                   fmt::format("{}", fd), "--runas", fmt::format("{}:{}", uid, uid),
                                   "--mtu", fmt::format("{}", kMtu),
                                   // Otherwise the gateway's address is the host's loopback.
                                   "--no-map-gw",
                                   // The agent configures the guest.
                                   "--no-dhcp", "--no-dhcpv6", "--no-ra"};
  auto add = [&argv](std::initializer_list<std::string> more) { argv.insert(argv.end(), more); };
  if (!families.ipv6) add({"--ipv4-only"});
  if (!families.ipv4) add({"--ipv6-only"});
  if (families.ipv4) add({"--netmask", fmt::format("{}", kIpv4.prefix_length)});
  for (const Family& family : Chosen(families))
    add({"--address", family.address, "--gateway", family.gateway, "--dns-forward",
         family.resolver});
  bool udp = false;
  for (const Published& port : published) {
    add({port.udp ? "--udp-ports" : "--tcp-ports", Spec(port)});
    udp = udp || port.udp;
  }
  // Otherwise each TCP port's number is one of UDP's, too.
  if (!udp) add({"--udp-ports", "none"});
  return argv;
}

agent::v1::NetworkConfig UserNetworkConfig(Families families) {
  agent::v1::NetworkConfig config;
  agent::v1::NetworkInterface* interface = config.add_interfaces();
  interface->set_device_mac(kUserMac.data(), kUserMac.size());
  interface->set_mac(kUserMac.data(), kUserMac.size());
  interface->set_name("eth0");
  interface->set_mtu(kMtu);
  interface->set_up(true);
  if (families.ipv6)
    AddAddress(*interface, AF_INET6, kLinkLocal, kLinkLocalPrefix, "", RT_SCOPE_LINK);
  for (const Family& family : Chosen(families)) {
    AddAddress(*interface, family.number, family.address, family.prefix_length, family.broadcast,
               RT_SCOPE_UNIVERSE);
    agent::v1::NetworkRoute* route = config.add_routes();
    route->set_family(static_cast<uint32_t>(family.number));
    route->set_gateway(Bytes(family.number, family.gateway));
    route->set_interface("eth0");
    route->set_table(RT_TABLE_MAIN);
    route->set_protocol(RTPROT_BOOT);
    route->set_type(RTN_UNICAST);
  }
  return config;
}

std::string UserResolvConf(Families families, const std::string& host) {
  bool asks[2] = {false, false};  // IPv6's resolvers: with a colon
  std::string rest;
  std::istringstream lines(host);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string key, value;
    words >> key >> value;
    if (key == "nameserver") asks[value.find(':') != std::string::npos ? 1 : 0] = true;
    if (key == "search" || key == "domain" || key == "options") rest += line + "\n";
  }
  std::string text;
  // With none on the host there is nobody to ask, and a name costs no wait.
  if (families.ipv4 && asks[0]) text += fmt::format("nameserver {}\n", kIpv4.resolver);
  if (families.ipv6 && asks[1]) text += fmt::format("nameserver {}\n", kIpv6.resolver);
  text += rest;
  return text.empty() ? "# The host has no resolver.\n" : text;
}

}  // namespace holt::shim::network
