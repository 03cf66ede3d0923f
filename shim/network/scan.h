#pragma once

#include <set>
#include <span>
#include <vector>

#include "base/netlink.h"
#include "rpc/agent.pb.h"

// What is in a network namespace, as the guest is to have it.
namespace holt::shim::network {

struct Scan {
  // device_mac and unused_device_macs are the caller's to fill in.
  agent::v1::NetworkConfig config;
  std::vector<int> indexes;  // on the host, of config.interfaces
  // Why something is left out, by name: an interface in use that is not Ethernet, a route with
  // several next hops, a routing rule with what the guest's kernel does not know. They cannot be
  // had in a machine.
  std::vector<base::Error> refused;
};

// As many addresses, routes, neighbours and rules a machine takes.
inline constexpr size_t kMaxEntries = 8192;

// Reads the calling thread's namespace. Loopback and the interfaces in `own` are left out, and so
// is what belongs to a bridge or a bond, whose frames come out there. kResourceExhausted for more
// than kMaxEntries.
base::Result<Scan> ScanNamespace(base::NetlinkSocket& netlink, const std::set<int>& own);

// The same from the kernel's answers.
struct Answers {
  std::vector<base::NetlinkMessage> links;
  std::vector<base::NetlinkMessage> addresses;
  std::vector<base::NetlinkMessage> routes;
  std::vector<base::NetlinkMessage> neighbours;
  std::vector<base::NetlinkMessage> rules;
};
base::Result<Scan> ReadAnswers(const Answers& answers, const std::set<int>& own);

}  // namespace holt::shim::network
