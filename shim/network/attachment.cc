#include "shim/network/attachment.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <charconv>

#include "base/log.h"
#include "base/netlink.h"
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
                                                       size_t wanted) {
  std::unique_ptr<Attachment> attachment(new Attachment(std::move(network_namespace)));
  TRY(RunInNamespace(attachment->namespace_.get(), [&] { return attachment->MakeTaps(wanted); }));
  return attachment;
}

Attachment::~Attachment() { Detach(); }

Status Attachment::MakeTaps(size_t wanted) {
  if (wanted == 0) {
    TRY_ASSIGN(NetlinkSocket netlink, NetlinkSocket::Open());
    TRY_ASSIGN(Scan scan, ScanNamespace(netlink, {}));
    wanted = scan.indexes.empty() ? kSpareDevices : scan.indexes.size();
  }
  if (wanted > kMaxDevices)
    return MakeError(Code::kResourceExhausted, "{} interfaces, a machine has up to {}", wanted,
                     kMaxDevices);
  while (taps_.size() < wanted) {
    TRY_ASSIGN(Tap tap, MakeTap());
    taps_.push_back(std::move(tap));
  }
  return {};
}

std::vector<Attachment::Device> Attachment::Devices() const {
  std::vector<Device> devices;
  for (size_t i = 0; i < taps_.size(); ++i) devices.push_back({taps_[i].fd.get(), MacOf(i)});
  return devices;
}

void Attachment::ReleaseTaps() {
  for (Tap& tap : taps_) tap.fd.Reset();
}

Result<agent::v1::NetworkConfig> Attachment::Attach() {
  Result<agent::v1::NetworkConfig> config = agent::v1::NetworkConfig();
  TRY(RunInNamespace(namespace_.get(), [&]() -> Status {
    config = AttachInside();
    if (!config) DetachInside();
    return {};
  }));
  return config;
}

Result<agent::v1::NetworkConfig> Attachment::AttachInside() {
  TRY_ASSIGN(NetlinkSocket netlink, NetlinkSocket::Open());
  std::set<int> own;
  for (const Tap& tap : taps_) own.insert(tap.index);
  TRY_ASSIGN(Scan scan, ScanNamespace(netlink, own));
  if (scan.indexes.size() > taps_.size())
    return MakeError(Code::kResourceExhausted,
                     "{} interfaces, and the machine has {} network devices (annotation {}: how "
                     "many it gets)",
                     scan.indexes.size(), taps_.size(), kDevicesAnnotation);
  for (size_t i = 0; i < scan.indexes.size(); ++i) {
    auto* interface = scan.config.mutable_interfaces(static_cast<int>(i));
    const Mac mac = MacOf(i);
    interface->set_device_mac(mac.data(), mac.size());
    TRY_CONTEXT(BringUp(netlink, taps_[i].index, interface->mtu()), taps_[i].name);
    TRY_ASSIGN_CONTEXT(const bool made, Redirect(netlink, scan.indexes[i], taps_[i].index),
                       interface->name());
    attached_.push_back({scan.indexes[i], made});
    TRY_CONTEXT(Redirect(netlink, taps_[i].index, scan.indexes[i]), taps_[i].name);
  }
  return std::move(scan.config);
}

void Attachment::Detach() {
  if (attached_.empty()) return;
  Status status = RunInNamespace(namespace_.get(), [this]() -> Status {
    DetachInside();
    return {};
  });
  if (!status) base::log::Warning("network: {}", status.error().message());
}

void Attachment::DetachInside() {
  auto netlink = NetlinkSocket::Open();
  for (const Attached& interface : attached_) {
    Status status = netlink ? Unredirect(*netlink, interface.index, interface.made_qdisc)
                            : Status(netlink.error());
    if (!status) base::log::Warning("network: {}", status.error().message());
  }
  attached_.clear();
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
