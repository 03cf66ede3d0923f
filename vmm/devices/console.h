#pragma once

#include <memory>

#include "base/event_loop.h"
#include "vmm/devices/console_log.h"
#include "vmm/virtio/device.h"

namespace holt::vmm {

// virtio-console (virtio 1.2, 5.3), one port: the guest's hvc0. What it writes goes to a
// ConsoleLog; nobody types.
class ConsoleDevice : public VirtioDevice {
 public:
  // Both are borrowed.
  ConsoleDevice(base::EventLoop& loop, ConsoleLog& log) : loop_(loop), log_(log) {}

  std::string_view Name() const override { return "console"; }
  uint32_t Type() const override { return kTypeConsole; }
  std::vector<uint16_t> QueueSizes() const override { return {64, 64}; }
  base::Status Start(uint64_t features, std::span<QueuePort* const> ports) override;
  void Stop() override { transmit_ = nullptr; }
  void OnKick(size_t index) override;

  static constexpr size_t kReceiveQueue = 0;
  static constexpr size_t kTransmitQueue = 1;
  // Of one buffer; what is beyond is dropped.
  static constexpr uint32_t kMaxBufferBytes = 64 << 10;
  // Buffers taken in one go, so that a guest that never stops writing leaves the loop to others.
  static constexpr int kBudget = 64;

 private:
  void Transmit();
  void Append(const DescriptorChain& chain);

  base::EventLoop& loop_;
  ConsoleLog& log_;
  QueuePort* transmit_ = nullptr;
  bool posted_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace holt::vmm
