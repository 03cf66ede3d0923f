#pragma once

#include <memory>

#include "base/event_loop.h"
#include "vmm/virtio/device.h"

namespace holt::vmm {

// virtio-rng (virtio 1.2, 5.4): the host's getrandom(2), in bounded portions.
class RngDevice : public VirtioDevice {
 public:
  // Borrowed.
  explicit RngDevice(base::EventLoop& loop) : loop_(loop) {}

  std::string_view Name() const override { return "rng"; }
  uint32_t Type() const override { return kTypeEntropy; }
  std::vector<uint16_t> QueueSizes() const override { return {64}; }
  base::Status Start(uint64_t features, std::span<QueuePort* const> ports) override;
  void Stop() override { port_ = nullptr; }
  void OnKick(size_t index) override;

  // The most that a request gets; a driver that wants more asks again.
  static constexpr uint32_t kMaxRequestBytes = 4096;
  static constexpr int kBudget = 64;

 private:
  void Serve();

  base::EventLoop& loop_;
  QueuePort* port_ = nullptr;
  bool posted_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace holt::vmm
