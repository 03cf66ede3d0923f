#pragma once

#include <map>
#include <string>

#include "base/netlink.h"
#include "rpc/agent.pb.h"

// What the guest's kernel is asked for one thing of its network each (rtnetlink(7)).
namespace holt::guest_agent {

// Of the guest's interfaces, by name.
using Indexes = std::map<std::string, int>;

// To add what is there already and to delete what is not is no error: containers may have changed
// what they could.
enum class Verb { kAdd, kDelete };

// `flags` of `change` (IFF_…).
base::NetlinkRequest LinkRequest(int index, unsigned flags = 0, unsigned change = 0);

base::Status ChangeAddress(base::NetlinkSocket& netlink, Verb verb, int index,
                           const agent::v1::NetworkAddress& address);
base::Status ChangeRoute(base::NetlinkSocket& netlink, Verb verb, const Indexes& interfaces,
                         const agent::v1::NetworkRoute& route);
base::Status ChangeNeighbour(base::NetlinkSocket& netlink, Verb verb, const Indexes& interfaces,
                             const agent::v1::NetworkNeighbour& neighbour);
// Makes the kernel ask who has the address, as if there were something to send there.
base::Status AskForNeighbour(base::NetlinkSocket& netlink, const Indexes& interfaces,
                             const std::string& interface, const std::string& address);
base::Status ChangeRule(base::NetlinkSocket& netlink, Verb verb,
                        const agent::v1::NetworkRule& rule);

}  // namespace holt::guest_agent
