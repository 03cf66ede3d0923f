#pragma once

#include <memory>
#include <vector>

#include "vmm/devices/blk_queue.h"

namespace holt::vmm {

// A disk with its queues and what the driver is told of it: virtio-blk, whoever carries it.
class Blk {
 public:
  // With blk::QueuesFor(vcpus) queues.
  static base::Result<std::unique_ptr<Blk>> Create(base::EventLoop& loop, BlkDisk disk,
                                                   uint32_t vcpus);

  uint64_t Features() const;
  blk::Config Config() const;
  size_t queue_count() const { return queues_.size(); }
  BlkQueue& queue(size_t index) { return *queues_[index]; }

 private:
  explicit Blk(BlkDisk disk) : disk_(std::move(disk)) {}

  BlkDisk disk_;
  std::vector<std::unique_ptr<BlkQueue>> queues_;
};

// The same as a device on virtio-mmio.
class BlkDevice : public VirtioDevice {
 public:
  explicit BlkDevice(std::unique_ptr<Blk> blk) : blk_(std::move(blk)) {}

  std::string_view Name() const override { return "blk"; }
  uint32_t Type() const override { return blk::kType; }
  uint64_t Features() const override { return blk_->Features(); }
  std::vector<uint16_t> QueueSizes() const override;
  void ReadConfig(uint32_t offset, std::span<std::byte> out) const override;
  base::Status Start(uint64_t features, std::span<QueuePort* const> ports) override;
  void Stop() override;
  void OnKick(size_t index) override { blk_->queue(index).OnKick(); }

 private:
  std::unique_ptr<Blk> blk_;
};

}  // namespace holt::vmm
