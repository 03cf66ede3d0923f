#pragma once

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "base/netlink.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "rpc/agent.pb.h"
#include "shim/network/tap.h"

namespace holt::shim::network {

// The bounds of a machine's network devices.
inline constexpr size_t kMaxDevices = 8;
// Beyond the interfaces that are there at create: more arrive until the start, or later, and a
// device cannot be added to a machine that runs.
inline constexpr size_t kSpareDevices = 4;

// The annotation that says how many devices the machine gets.
inline constexpr char kDevicesAnnotation[] = "holt.network-devices";

// A sandbox's hold on a network namespace: a tap there for each network device of the machine, and,
// from Sync() on, everything that arrives at an interface redirected to one of them and back.
// The taps are gone when the last descriptor of them is, whoever dies; ADR 95, ADR 120.
class Attachment {
 public:
  // `wanted` devices; 0: kSpareDevices more than there are interfaces, up to kMaxDevices. Each with
  // `queues` pairs of queues.
  static base::Result<std::unique_ptr<Attachment>> Create(base::UniqueFd network_namespace,
                                                          size_t wanted, size_t queues);
  // Detaches.
  ~Attachment();
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;

  using Mac = std::array<uint8_t, 6>;
  struct Device {
    std::vector<int> tap_queues = {};  // borrowed; none after ReleaseTaps(), or for passt's
    Mac mac{};                         // by which the agent finds it
  };
  std::vector<Device> Devices() const;
  int network_namespace() const { return namespace_.get(); }
  // holt-vmm has them: their end is its end.
  void ReleaseTaps();

  struct Synced {
    agent::v1::NetworkConfig config;   // what the guest is to have now
    std::vector<base::Error> refused;  // why something is not in it, by name
  };
  // What a guest is to have before: no interface.
  agent::v1::NetworkConfig Nothing() const;
  // Connects every interface that is there now, and lets go of those that are no more. An error:
  // nothing is known of the namespace, and nothing was changed.
  base::Result<Synced> Sync();
  // Gives the interfaces back to the namespace.
  void Detach();

 private:
  explicit Attachment(base::UniqueFd network_namespace)
      : namespace_(std::move(network_namespace)) {}
  base::Status MakeTaps(size_t wanted, size_t queues);
  // What a tap is joined to: the interface's number (0: to nothing), and whether its clsact is
  // ours.
  struct Joined {
    int interface = 0;
    bool made_qdisc = false;
    uint32_t mtu = 0;
  };
  base::Result<Synced> SyncInside();
  // The place in joined_ of an interface, or one for it; nothing when all are taken.
  std::optional<size_t> PlaceOf(int interface) const;
  base::Status Join(base::NetlinkSocket& netlink, size_t place, int interface, uint32_t mtu);
  void AddUnused(agent::v1::NetworkConfig& config) const;
  void Part(base::NetlinkSocket& netlink, size_t place);
  void DetachInside();

  base::UniqueFd namespace_;
  std::vector<Tap> taps_;
  std::vector<Joined> joined_;  // of each tap
};

// The value of kDevicesAnnotation; kInvalidArgument unless it is 0 to kMaxDevices.
base::Result<size_t> ParseDevices(const std::string& text);

}  // namespace holt::shim::network
