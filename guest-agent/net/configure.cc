#include "guest-agent/net/configure.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <set>
#include <string>

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;
using base::NetlinkRequest;
using base::NetlinkSocket;
using base::Status;
using namespace agent::v1;

Status Rename(NetlinkSocket& netlink, int index, const std::string& name) {
  NetlinkRequest request = LinkRequest(index);
  request.String(IFLA_IFNAME, name);
  return netlink.Do(request);
}

Status SetLink(NetlinkSocket& netlink, int index, const NetworkInterface* before,
               const NetworkInterface& interface) {
  if (before != nullptr && before->mac() == interface.mac() && before->mtu() == interface.mtu())
    return {};
  NetlinkRequest request = LinkRequest(index);
  // Set anew, even to the same, it would make the kernel forget its neighbours.
  if (before == nullptr || before->mac() != interface.mac())
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

Status SetUp(NetlinkSocket& netlink, int index, const NetworkInterface* before, bool up) {
  if (up == (before != nullptr && before->up())) return {};
  return netlink.Do(LinkRequest(index, up ? IFF_UP : 0, IFF_UP));
}

// Calls with each of `before` that is not in `now`.
template <typename Messages, typename Work>
void ForEachGone(const Messages& before, const Messages& now, const Work& work) {
  std::set<std::string> kept;
  for (const auto& message : now) kept.insert(message.SerializeAsString());
  for (const auto& message : before)
    if (!kept.contains(message.SerializeAsString())) work(message);
}

}  // namespace

const NetworkInterface* Network::Before(const std::string& device_mac) const {
  for (const NetworkInterface& interface : config_.interfaces())
    if (interface.device_mac() == device_mac) return &interface;
  return nullptr;
}

// With the names of before. What an interface loses with its device is not worth a word.
void Network::Withdraw(NetlinkSocket& netlink, const NetworkConfig& wanted, const Note& note) {
  auto devices = Devices::List(netlink);
  if (!devices) return note(devices.error(), "interfaces");
  Indexes indexes;
  for (const NetworkInterface& interface : config_.interfaces())
    if (auto it = devices->find(interface.device_mac()); it != devices->end())
      indexes[interface.name()] = it->second.index;
  auto there = [&](const std::string& name) { return name.empty() || indexes.contains(name); };
  ForEachGone(config_.rules(), wanted.rules(), [&](const NetworkRule& rule) {
    note(ChangeRule(netlink, Verb::kDelete, rule), "rule");
  });
  ForEachGone(config_.routes(), wanted.routes(), [&](const NetworkRoute& route) {
    if (there(route.interface()))
      note(ChangeRoute(netlink, Verb::kDelete, indexes, route),
           "remove route over " + route.interface());
  });
  ForEachGone(config_.neighbours(), wanted.neighbours(), [&](const NetworkNeighbour& neighbour) {
    if (there(neighbour.interface()))
      note(ChangeNeighbour(netlink, Verb::kDelete, indexes, neighbour),
           neighbour.interface() + ": remove neighbour");
  });
  for (const NetworkInterface& now : wanted.interfaces()) {
    const NetworkInterface* before = Before(now.device_mac());
    auto device = devices->find(now.device_mac());
    if (before == nullptr || device == devices->end()) continue;
    ForEachGone(before->addresses(), now.addresses(), [&](const NetworkAddress& address) {
      note(ChangeAddress(netlink, Verb::kDelete, device->second.index, address),
           before->name() + ": remove address");
    });
  }
}

// Devices to where they belong, and all of an interface that is not its addresses.
Indexes Network::Place(NetlinkSocket& netlink, const NetworkConfig& wanted, const Note& note) {
  for (const std::string& mac : wanted.unused_device_macs())
    note(devices_.PutAway(netlink, mac), "put a device away");
  for (const NetworkInterface& interface : wanted.interfaces())
    if (Before(interface.device_mac()) == nullptr)
      note(devices_.TakeOut(interface.device_mac()), interface.name());
  auto devices = Devices::List(netlink);
  if (!devices) {
    note(devices.error(), "interfaces");
    return {};
  }
  Indexes indexes;
  for (const NetworkInterface& interface : wanted.interfaces()) {
    auto it = devices->find(interface.device_mac());
    if (it == devices->end()) {
      note(base::Error(Code::kNotFound, "the machine has no such device"), interface.name());
    } else if (!indexes.emplace(interface.name(), it->second.index).second) {
      note(base::Error(Code::kInvalidArgument, "is there twice"), interface.name());
    } else if (it->second.name != interface.name()) {
      // Out of the way: another one may have to be called as this one is now.
      note(Rename(netlink, it->second.index, fmt::format("holt-new{}", it->second.index)),
           interface.name());
    }
  }
  for (const NetworkInterface& interface : wanted.interfaces()) {
    auto it = devices->find(interface.device_mac());
    if (it == devices->end()) continue;
    if (it->second.name != interface.name())
      note(Rename(netlink, it->second.index, interface.name()), interface.name());
    note(SetLink(netlink, it->second.index, Before(interface.device_mac()), interface),
         interface.name());
  }
  return indexes;
}

Status Network::Configure(const NetworkConfig& config) {
  TRY_ASSIGN(NetlinkSocket netlink, NetlinkSocket::Open());
  Status first;
  const Note note = [&first](Status status, const std::string& what) {
    if (!status && first) first = std::move(status).error().Wrap(what);
  };
  Withdraw(netlink, config, note);
  const Indexes indexes = Place(netlink, config, note);
  // All of it, not only what is new: with one thing that was taken away others may have gone.
  for (const NetworkInterface& interface : config.interfaces()) {
    auto it = indexes.find(interface.name());
    if (it == indexes.end()) continue;
    for (const NetworkAddress& address : interface.addresses())
      note(ChangeAddress(netlink, Verb::kAdd, it->second, address), it->first + ": address");
    note(SetUp(netlink, it->second, Before(interface.device_mac()), interface.up()),
         it->first + ": up");
  }
  // A gateway must be reachable when it is named.
  for (bool with_gateway : {false, true})
    for (const NetworkRoute& route : config.routes())
      if (route.gateway().empty() != with_gateway)
        note(ChangeRoute(netlink, Verb::kAdd, indexes, route), "route over " + route.interface());
  for (const NetworkNeighbour& neighbour : config.neighbours())
    note(ChangeNeighbour(netlink, Verb::kAdd, indexes, neighbour),
         neighbour.interface() + ": neighbour");
  for (const NetworkRule& rule : config.rules())
    note(ChangeRule(netlink, Verb::kAdd, rule), "rule");
  // One that knows the machine's hardware address by its first frame only (passt does) could not
  // reach it before. What goes wrong is the gateway's loss.
  for (const NetworkRoute& route : config.routes())
    if (config_.interfaces().empty() && !route.gateway().empty())
      (void)AskForNeighbour(netlink, indexes, route.interface(), route.gateway());
  config_ = config;
  return first;
}

}  // namespace holt::guest_agent
