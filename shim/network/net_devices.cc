#include "shim/network/net_devices.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "base/file.h"
#include "base/netlink.h"
#include "shim/network/namespace.h"

namespace holt::shim::network {
namespace {

using base::Code;
using base::MakeError;
using base::NetlinkRequest;
using base::NetlinkSocket;
using base::Result;
using base::Status;

struct Link {
  int index = 0;
  std::string name;
};

Result<std::vector<Link>> Links(NetlinkSocket& netlink) {
  NetlinkRequest request(RTM_GETLINK);
  request.Header(ifinfomsg{});
  TRY_ASSIGN(auto messages, netlink.Dump(request));
  std::vector<Link> links;
  for (const auto& message : messages) {
    if (message.type != RTM_NEWLINK) continue;
    TRY_ASSIGN(auto header, message.Header<ifinfomsg>());
    TRY_ASSIGN(auto attributes, message.Attributes<ifinfomsg>());
    links.push_back({header.ifi_index, attributes.String(IFLA_IFNAME)});
  }
  return links;
}

// One address, as a request that adds it to the interface `index`.
NetlinkRequest AddAddress(ifaddrmsg header, const base::NetlinkAttributes& attributes, int index) {
  NetlinkRequest request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  header.ifa_index = static_cast<uint32_t>(index);
  request.Header(header);
  for (uint16_t type : {IFA_LOCAL, IFA_ADDRESS, IFA_BROADCAST})
    if (attributes.Has(type)) request.Attribute(type, attributes.Raw(type));
  // Nobody else has it: it was the same interface's.
  const uint32_t flags = attributes.Value<uint32_t>(IFA_FLAGS).value_or(header.ifa_flags);
  request.Value<uint32_t>(IFA_FLAGS, (flags & IFA_F_NOPREFIXROUTE) | IFA_F_NODAD);
  return request;
}

// The permanent global addresses of the interface `from`, for the interface `to`.
Result<std::vector<NetlinkRequest>> Addresses(NetlinkSocket& netlink, int from, int to) {
  NetlinkRequest request(RTM_GETADDR);
  request.Header(ifaddrmsg{});
  TRY_ASSIGN(auto messages, netlink.Dump(request));
  std::vector<NetlinkRequest> addresses;
  for (const auto& message : messages) {
    if (message.type != RTM_NEWADDR) continue;
    TRY_ASSIGN(auto header, message.Header<ifaddrmsg>());
    TRY_ASSIGN(auto attributes, message.Attributes<ifaddrmsg>());
    const uint32_t flags = attributes.Value<uint32_t>(IFA_FLAGS).value_or(header.ifa_flags);
    if (static_cast<int>(header.ifa_index) != from || header.ifa_scope != RT_SCOPE_UNIVERSE)
      continue;
    if ((flags & IFA_F_PERMANENT) == 0) continue;
    addresses.push_back(AddAddress(header, attributes, to));
  }
  return addresses;
}

bool IsNamed(const std::vector<Link>& links, const std::string& name) {
  return std::any_of(links.begin(), links.end(), [&](const Link& l) { return l.name == name; });
}

Status MoveOne(NetlinkSocket& here, NetlinkSocket& there, const std::string& name,
               const std::string& new_name, int network_namespace) {
  TRY_ASSIGN(auto ours, Links(here));
  TRY_ASSIGN(auto theirs, Links(there));
  auto link = std::find_if(ours.begin(), ours.end(), [&](const Link& l) { return l.name == name; });
  if (link == ours.end()) return MakeError(Code::kNotFound, "no such interface");
  // Before it is moved, so that a name that is taken moves nothing.
  if (IsNamed(theirs, new_name))
    return MakeError(Code::kAlreadyExists, "the container has an interface {}", new_name);
  // A number of our choice, so that we know it again whatever it is called then.
  int index = link->index;
  for (const Link& other : theirs) index = std::max(index, other.index + 1);
  TRY_ASSIGN(auto addresses, Addresses(here, link->index, index));

  NetlinkRequest move(RTM_NEWLINK);
  move.Header(ifinfomsg{.ifi_family = AF_UNSPEC, .ifi_index = link->index});
  move.Value<int32_t>(IFLA_NET_NS_FD, network_namespace);
  move.Value<int32_t>(IFLA_NEW_IFINDEX, index);
  move.String(IFLA_IFNAME, new_name);
  TRY_CONTEXT(here.Do(move), "move it");

  NetlinkRequest up(RTM_NEWLINK);
  up.Header(ifinfomsg{
      .ifi_family = AF_UNSPEC, .ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP});
  TRY_CONTEXT(there.Do(up), "set it up");
  for (const NetlinkRequest& address : addresses) TRY_CONTEXT(there.Do(address), "its address");
  return {};
}

Result<bool> IsOurs(int network_namespace) {
  struct stat ours {};
  struct stat theirs {};
  if (stat("/proc/thread-self/ns/net", &ours) != 0) return HOLT_ERRNO("own network namespace");
  if (fstat(network_namespace, &theirs) != 0) return HOLT_ERRNO("network namespace");
  return ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

}  // namespace

Status MoveNetDevices(const std::map<std::string, oci::NetDevice>& devices, int network_namespace) {
  if (devices.empty()) return {};
  TRY_ASSIGN(bool same, IsOurs(network_namespace));
  if (same)
    return MakeError(
        Code::kInvalidArgument,
        "linux.netDevices: the container is in the network namespace that they are in");
  TRY_ASSIGN(NetlinkSocket here, NetlinkSocket::Open());
  // A socket stays in the namespace that it was opened in.
  Result<NetlinkSocket> there = MakeError(Code::kInternal, "not run");
  TRY(RunInNamespace(network_namespace, [&]() -> Status {
    there = NetlinkSocket::Open();
    return there ? Status() : Status(there.error());
  }));
  for (const auto& [name, device] : devices) {
    TRY_CONTEXT(
        MoveOne(here, *there, name, device.name.empty() ? name : device.name, network_namespace),
        fmt::format("linux.netDevices[\"{}\"]", name));
  }
  return {};
}

}  // namespace holt::shim::network
