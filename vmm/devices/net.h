#pragma once

#include <array>
#include <memory>
#include <vector>

#include "vmm/devices/net_queues.h"

namespace holt::vmm {

// What the driver is told of an interface.
struct NetIdentity {
  std::array<uint8_t, 6> mac{};
  uint16_t mtu = 0;  // the largest that it may set; 0: it is not told
};

// virtio-net (virtio 1.2, 5.1): frames between the guest and a tap, with checksums and segmentation
// left to whoever has to do them in the end.
//
// Several pairs of queues (MQ) would be several NetQueues here, each with a queue of the same tap
// (IFF_MULTI_QUEUE), and the control queue behind them.
class NetDevice : public VirtioDevice {
 public:
  NetDevice(const NetIdentity& identity, std::unique_ptr<NetQueues> queues)
      : identity_(identity), queues_(std::move(queues)) {}

  std::string_view Name() const override { return "net"; }
  uint32_t Type() const override { return kTypeNet; }
  uint64_t Features() const override;
  std::vector<uint16_t> QueueSizes() const override {
    return {NetQueues::kQueueSize, NetQueues::kQueueSize};
  }
  void ReadConfig(uint32_t offset, std::span<std::byte> out) const override;
  base::Status Start(uint64_t features, std::span<QueuePort* const> ports) override;
  void Stop() override;
  void OnKick(size_t index) override { queues_->OnKick(index); }

  const NetCounters& counters() const { return queues_->counters(); }

 private:
  NetIdentity identity_;
  std::unique_ptr<NetQueues> queues_;
};

}  // namespace holt::vmm
