#include "shim/network/attachment.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "base/log.h"
#include "shim/network/namespace.h"
#include "shim/network/redirect.h"
#include "shim/network/scan.h"

namespace holt::shim::network {
namespace {

using base::Code;
using base::MakeError;
using base::NetlinkRequest;
using base::NetlinkSocket;
using base::Result;
using base::Status;

// Locally administered; on no wire: the agent gives the device its interface's.
Attachment::Mac MacOf(size_t device) {
  return {0x02, 'h', 'o', 'l', 't', static_cast<uint8_t>(device)};
}

// A tap says nothing of its own: it only passes on.
Status BringUp(NetlinkSocket& netlink, int index, uint32_t mtu) {
  NetlinkRequest request(RTM_NEWLINK);
  ifinfomsg header{};
  header.ifi_index = index;
  header.ifi_flags = IFF_UP | IFF_NOARP;
  header.ifi_change = IFF_UP | IFF_NOARP;
  request.Header(header);
  request.Value<uint32_t>(IFLA_MTU, mtu);
  const size_t families = request.Begin(IFLA_AF_SPEC);
  const size_t ipv6 = request.Begin(AF_INET6);
  request.Value<uint8_t>(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
  request.End(ipv6);
  request.End(families);
  return netlink.Do(request);
}

}  // namespace

Result<std::unique_ptr<Attachment>> Attachment::Create(base::UniqueFd network_namespace,
                                                       size_t wanted, size_t queues) {
  std::unique_ptr<Attachment> attachment(new Attachment(std::move(network_namespace)));
  TRY(RunInNamespace(attachment->namespace_.get(),
                     [&] { return attachment->MakeTaps(wanted, queues); }));
  return attachment;
}

Attachment::~Attachment() { Detach(); }

Status Attachment::MakeTaps(size_t wanted, size_t queues) {
  if (wanted == 0) {
    TRY_ASSIGN(NetlinkSocket netlink, NetlinkSocket::Open());
    TRY_ASSIGN(Scan scan, ScanNamespace(netlink, {}));
    if (!scan.refused.empty()) return scan.refused.front();
    const size_t there = scan.indexes.size();
    wanted = std::max(there, std::min(there + kSpareDevices, kMaxDevices));
  }
  if (wanted > kMaxDevices)
    return MakeError(Code::kResourceExhausted, "{} interfaces, a machine has up to {}", wanted,
                     kMaxDevices);
  while (taps_.size() < wanted) {
    TRY_ASSIGN(Tap tap, MakeTap(queues));
    taps_.push_back(std::move(tap));
  }
  joined_.resize(taps_.size());
  return {};
}

std::vector<Attachment::Device> Attachment::Devices() const {
  std::vector<Device> devices;
  for (size_t i = 0; i < taps_.size(); ++i) {
    Device& device = devices.emplace_back();
    device.mac = MacOf(i);
    for (const base::UniqueFd& queue : taps_[i].queues) device.tap_queues.push_back(queue.get());
  }
  return devices;
}

void Attachment::ReleaseTaps() {
  for (Tap& tap : taps_) tap.queues.clear();
}

Result<Attachment::Synced> Attachment::Sync() {
  Result<Synced> synced = Synced();
  TRY(RunInNamespace(namespace_.get(), [&]() -> Status {
    synced = SyncInside();
    return {};
  }));
  return synced;
}

Result<Attachment::Synced> Attachment::SyncInside() {
  TRY_ASSIGN(NetlinkSocket netlink, NetlinkSocket::Open());
  std::set<int> own;
  for (const Tap& tap : taps_) own.insert(tap.index);
  TRY_ASSIGN(Scan scan, ScanNamespace(netlink, own));
  Synced synced{.config = {}, .refused = std::move(scan.refused)};
  const std::set<int> there(scan.indexes.begin(), scan.indexes.end());
  for (size_t place = 0; place < joined_.size(); ++place)
    if (joined_[place].interface != 0 && !there.contains(joined_[place].interface))
      Part(netlink, place);
  std::set<std::string> left_out;
  for (size_t i = 0; i < scan.indexes.size(); ++i) {
    auto& interface = *scan.config.mutable_interfaces(static_cast<int>(i));
    const std::optional<size_t> place = PlaceOf(scan.indexes[i]);
    Status joined =
        place ? Join(netlink, *place, scan.indexes[i], interface.mtu())
              : MakeError(Code::kResourceExhausted,
                          "{} interfaces, and the machine has {} network devices (annotation {}: "
                          "how many it gets)",
                          scan.indexes.size(), taps_.size(), kDevicesAnnotation);
    if (!joined) {
      left_out.insert(interface.name());
      synced.refused.push_back(std::move(joined).error().Wrap(interface.name()));
      continue;
    }
    const Mac mac = MacOf(*place);
    interface.set_device_mac(mac.data(), mac.size());
    *synced.config.add_interfaces() = std::move(interface);
  }
  // What leads over an interface that is not there would be an error of the guest's.
  for (auto& route : *scan.config.mutable_routes())
    if (!left_out.contains(route.interface())) *synced.config.add_routes() = std::move(route);
  for (auto& neighbour : *scan.config.mutable_neighbours())
    if (!left_out.contains(neighbour.interface()))
      *synced.config.add_neighbours() = std::move(neighbour);
  *synced.config.mutable_rules() = std::move(*scan.config.mutable_rules());
  AddUnused(synced.config);
  return synced;
}

agent::v1::NetworkConfig Attachment::Nothing() const {
  agent::v1::NetworkConfig config;
  AddUnused(config);
  return config;
}

void Attachment::AddUnused(agent::v1::NetworkConfig& config) const {
  for (size_t place = 0; place < joined_.size(); ++place) {
    const Mac mac = MacOf(place);
    if (joined_[place].interface == 0) config.add_unused_device_macs(mac.data(), mac.size());
  }
}

std::optional<size_t> Attachment::PlaceOf(int interface) const {
  std::optional<size_t> free;
  for (size_t place = joined_.size(); place-- > 0;) {
    if (joined_[place].interface == interface) return place;
    if (joined_[place].interface == 0) free = place;
  }
  return free;
}

// Of an interface that is joined already, too: a new one may have the number of one that went.
Status Attachment::Join(NetlinkSocket& netlink, size_t place, int interface, uint32_t mtu) {
  Joined& joined = joined_[place];
  const Tap& tap = taps_[place];
  if (joined.mtu != mtu) TRY_CONTEXT(BringUp(netlink, tap.index, mtu), tap.name);
  TRY_ASSIGN(const bool made, Redirect(netlink, interface, tap.index));
  joined = {interface, joined.made_qdisc || made, mtu};
  auto back = Redirect(netlink, tap.index, interface);
  if (back) return {};
  Part(netlink, place);
  return std::move(back).error().Wrap(tap.name);
}

void Attachment::Part(NetlinkSocket& netlink, size_t place) {
  const Joined joined = std::exchange(joined_[place], {});
  // The interface may be there still, and belong to a bridge now. The tap leads nowhere and loses
  // what comes.
  for (Status status : {Unredirect(netlink, joined.interface, joined.made_qdisc),
                        Unredirect(netlink, taps_[place].index, false)})
    if (!status) base::log::Warning("network: {}", status.error().message());
}

void Attachment::Detach() {
  if (std::ranges::all_of(joined_, [](const Joined& joined) { return joined.interface == 0; }))
    return;
  Status status = RunInNamespace(namespace_.get(), [this]() -> Status {
    DetachInside();
    return {};
  });
  if (!status) base::log::Warning("network: {}", status.error().message());
}

void Attachment::DetachInside() {
  auto netlink = NetlinkSocket::Open();
  if (!netlink) return base::log::Warning("network: {}", netlink.error().message());
  for (size_t place = 0; place < joined_.size(); ++place)
    if (joined_[place].interface != 0) Part(*netlink, place);
}

Result<size_t> ParseDevices(const std::string& text) {
  size_t devices = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), devices);
  if (error != std::errc() || end != text.data() + text.size() || devices > kMaxDevices)
    return MakeError(Code::kInvalidArgument, "annotation {}: \"{}\" is not a number from 0 to {}",
                     kDevicesAnnotation, text, kMaxDevices);
  return devices;
}

}  // namespace holt::shim::network
