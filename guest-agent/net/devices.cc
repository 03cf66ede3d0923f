#include "guest-agent/net/devices.h"

#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>

#include "base/file.h"
#include "guest-agent/net/requests.h"

namespace holt::guest_agent {

using base::NetlinkRequest;
using base::NetlinkSocket;
using base::Result;
using base::Status;
using base::UniqueFd;

namespace {

Status Move(NetlinkSocket& from, const std::string& mac, int to) {
  TRY_ASSIGN(auto devices, Devices::List(from));
  auto it = devices.find(mac);
  if (it == devices.end()) return {};
  NetlinkRequest request = LinkRequest(it->second.index);
  request.Value<uint32_t>(IFLA_NET_NS_FD, static_cast<uint32_t>(to));
  // Where it goes to, its name of now may be another's.
  request.String(IFLA_IFNAME, "holt%d");
  return from.Do(request);
}

// The agent has one thread: nobody else is in the new namespace meanwhile.
Result<UniqueFd> OwnNamespace() { return base::Open("/proc/self/ns/net", O_RDONLY); }

}  // namespace

Result<std::map<std::string, Devices::Device>> Devices::List(NetlinkSocket& netlink) {
  NetlinkRequest request(RTM_GETLINK);
  request.Header(ifinfomsg{});
  TRY_ASSIGN(auto messages, netlink.Dump(request));
  std::map<std::string, Device> devices;
  for (const auto& message : messages) {
    TRY_ASSIGN(auto header, message.Header<ifinfomsg>());
    TRY_ASSIGN(auto attributes, message.Attributes<ifinfomsg>());
    const std::string mac = attributes.Bytes(IFLA_PERM_ADDRESS);
    if ((header.ifi_flags & IFF_LOOPBACK) == 0 && !mac.empty())
      devices[mac] = {header.ifi_index, attributes.String(IFLA_IFNAME)};
  }
  return devices;
}

Status Devices::OpenDrawer() {
  if (drawer_) return {};
  TRY_ASSIGN(UniqueFd home, OwnNamespace());
  if (unshare(CLONE_NEWNET) != 0) return HOLT_ERRNO("make a network namespace");
  auto away = OwnNamespace();
  auto netlink = NetlinkSocket::Open();
  // Elsewhere nothing of the agent's would work.
  HOLT_CHECK(setns(home.get(), CLONE_NEWNET) == 0);
  if (!away) return std::move(away).error();
  if (!netlink) return std::move(netlink).error();
  drawer_.emplace(Drawer{std::move(home), std::move(*away), std::move(*netlink)});
  return {};
}

Status Devices::PutAway(NetlinkSocket& netlink, const std::string& mac) {
  TRY(OpenDrawer());
  return Move(netlink, mac, drawer_->away.get());
}

Status Devices::TakeOut(const std::string& mac) {
  return drawer_ ? Move(drawer_->netlink, mac, drawer_->home.get()) : Status();
}

}  // namespace holt::guest_agent
