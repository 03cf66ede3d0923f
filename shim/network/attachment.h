#pragma once

#include <array>
#include <memory>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "rpc/agent.pb.h"
#include "shim/network/tap.h"

namespace holt::shim::network {

// The bounds of a machine's network devices.
inline constexpr size_t kMaxDevices = 8;
// When the namespace is empty: whoever made the container puts interfaces there until its start,
// and a device cannot be added to a machine that runs.
inline constexpr size_t kSpareDevices = 4;

// The annotation that says how many devices the machine gets.
inline constexpr char kDevicesAnnotation[] = "holt.network-devices";

// A sandbox's hold on a network namespace: a tap there for each network device of the machine, and,
// from Attach() on, everything that arrives at an interface redirected to one of them and back.
// The taps are gone when the last descriptor of them is, whoever dies; ADR 95.
class Attachment {
 public:
  // `wanted` devices; 0: as many as there are interfaces, or kSpareDevices.
  static base::Result<std::unique_ptr<Attachment>> Create(base::UniqueFd network_namespace,
                                                          size_t wanted);
  // Detaches.
  ~Attachment();
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;

  using Mac = std::array<uint8_t, 6>;
  struct Device {
    int tap = -1;  // borrowed; -1 after ReleaseTaps()
    Mac mac{};     // by which the agent finds it
  };
  std::vector<Device> Devices() const;
  // holt-vmm has them: their end is its end.
  void ReleaseTaps();

  // Connects every interface that is there now and returns what the guest is to be told. Errors
  // name the interface; nothing stays connected then.
  base::Result<agent::v1::NetworkConfig> Attach();
  int network_namespace() const { return namespace_.get(); }  // borrowed
  // Gives the interfaces back to the namespace.
  void Detach();

 private:
  explicit Attachment(base::UniqueFd network_namespace)
      : namespace_(std::move(network_namespace)) {}
  base::Status MakeTaps(size_t wanted);
  base::Result<agent::v1::NetworkConfig> AttachInside();
  void DetachInside();

  base::UniqueFd namespace_;
  std::vector<Tap> taps_;
  struct Attached {
    int index;
    bool made_qdisc;
  };
  std::vector<Attached> attached_;
};

// The value of kDevicesAnnotation; kInvalidArgument unless it is 0 to kMaxDevices.
base::Result<size_t> ParseDevices(const std::string& text);

}  // namespace holt::shim::network
