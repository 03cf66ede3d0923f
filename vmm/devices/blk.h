#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "vmm/devices/blk_queue.h"

namespace holt::vmm {

// A disk with its queues and what the driver is told of it: virtio-blk, whoever carries it.
class Blk {
 public:
  // With blk::QueuesFor(vcpus) queues.
  static base::Result<std::unique_ptr<Blk>> Create(base::EventLoop& loop, BlkDisk disk,
                                                   uint32_t vcpus);
  // A place for disks that come and go while the driver runs: empty. A queue for each ring, whose
  // files are the business of another process. What the driver is told is the same of each disk but
  // for its size: writable, sectors of 512 bytes. A read-only one refuses writes.
  static base::Result<std::unique_ptr<Blk>> CreateSpare(
      base::EventLoop& loop, std::vector<std::unique_ptr<BlkRing>> rings);

  // Of a spare one that is empty: `disk`, without a descriptor, is in it from now on; its file is
  // in the rings. kFailedPrecondition while there is another or one that goes.
  base::Status Plug(BlkDisk disk);
  // Of a spare one: it is empty from now on, and `done` is called when no request reaches the
  // rings' files any more.
  base::Status Unplug(std::function<void()> done);
  // The disk that is in it: part of a device's state. Empty, or none yet.
  const std::string& disk_id() const { return disk_.id; }

  // From any thread.
  uint64_t Features() const;
  blk::Config Config() const;
  bool spare() const { return spare_; }
  size_t queue_count() const { return queues_.size(); }
  BlkQueue& queue(size_t index) { return *queues_[index]; }

 private:
  Blk(BlkDisk disk, bool spare);
  base::Status AddQueue(base::EventLoop& loop, std::unique_ptr<BlkRing> ring);

  BlkDisk disk_;
  const bool spare_;
  const bool writable_;  // the driver is told
  const uint32_t block_bytes_;
  std::atomic<uint64_t> sectors_;
  bool leaving_ = false;
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
