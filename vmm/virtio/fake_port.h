#pragma once

#include <cstdint>
#include <string>

#include "vmm/virtio/device.h"

namespace holt::vmm {

// What a transport is to a device, for tests: a queue, and what the device said.
class FakePort : public QueuePort {
 public:
  // A queue longer than any that the device offers looks to it like a guest that adds buffers while
  // they are taken.
  explicit FakePort(uint16_t max_size) : queue_(max_size) {}
  Queue& queue() override { return queue_; }
  void Notify() override { notified += queue_.NeedsNotify() ? 1 : 0; }
  void ReportBroken(const base::Error& error) override { broken = error.message(); }

  std::string broken;
  int notified = 0;  // interrupts that the driver wanted

 private:
  Queue queue_;
};

}  // namespace holt::vmm
