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
// With several pairs of queues there is a control queue behind them (5.1.6.5), which knows one
// command: how many pairs are in use.
class NetDevice : public VirtioDevice {
 public:
  // At least one pair.
  NetDevice(const NetIdentity& identity, NetPairs pairs)
      : identity_(identity), pairs_(std::move(pairs)) {
    HOLT_CHECK(!pairs_.empty() && pairs_.size() <= kMaxPairs);
  }

  static constexpr size_t kMaxPairs = 16;
  static constexpr uint16_t kControlQueueSize = 64;

  std::string_view Name() const override { return "net"; }
  uint32_t Type() const override { return kTypeNet; }
  uint64_t Features() const override;
  std::vector<uint16_t> QueueSizes() const override;
  void ReadConfig(uint32_t offset, std::span<std::byte> out) const override;
  base::Status Start(uint64_t features, std::span<QueuePort* const> ports) override;
  void Stop() override;
  void OnKick(size_t index) override;

  NetCounters counters() const { return SumOf(pairs_); }

 private:
  void Control();
  // The acknowledgement.
  uint8_t Obey(const DescriptorChain& chain);
  void UsePairs(size_t count);

  NetIdentity identity_;
  NetPairs pairs_;
  std::vector<QueuePort*> ports_;  // those of the pairs, while the driver is there
  QueuePort* control_ = nullptr;
  size_t control_index_ = 0;
  DescriptorChain control_chain_;
};

}  // namespace holt::vmm
