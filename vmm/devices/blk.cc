#include "vmm/devices/blk.h"

#include "vmm/virtio/config_space.h"

namespace holt::vmm {

using base::Result;

Result<std::unique_ptr<Blk>> Blk::Create(base::EventLoop& loop, BlkDisk disk, uint32_t vcpus) {
  std::unique_ptr<Blk> blk(new Blk(std::move(disk)));
  for (uint32_t i = 0; i < blk::QueuesFor(vcpus); ++i) {
    TRY_ASSIGN(auto queue, BlkQueue::Create(loop, blk->disk_));
    blk->queues_.push_back(std::move(queue));
  }
  return blk;
}

uint64_t Blk::Features() const {
  const uint64_t features =
      blk::kSegMax | blk::kBlockSize | blk::kFlush | (queues_.size() > 1 ? blk::kMultiQueue : 0);
  return features | (disk_.read_only ? blk::kReadOnly : blk::kDiscard | blk::kWriteZeroes);
}

blk::Config Blk::Config() const {
  blk::Config config{};
  config.capacity = disk_.sectors();
  config.seg_max = BlkQueue::kMaxSegments;
  config.block_size = disk_.block_bytes;
  config.num_queues = static_cast<uint16_t>(queues_.size());
  if (disk_.read_only) return config;
  constexpr uint32_t kRange = BlkQueue::kMaxRangeBytes / blk::kSectorBytes;
  config.max_discard_sectors = kRange;
  config.max_discard_segments = 1;
  config.discard_alignment = disk_.block_bytes / blk::kSectorBytes;
  config.max_write_zeroes_sectors = kRange;
  config.max_write_zeroes_segments = 1;
  config.write_zeroes_may_unmap = 1;
  return config;
}

std::vector<uint16_t> BlkDevice::QueueSizes() const {
  return std::vector<uint16_t>(blk_->queue_count(), blk::kQueueSize);
}

void BlkDevice::ReadConfig(uint32_t offset, std::span<std::byte> out) const {
  CopyConfig(blk_->Config(), offset, out);
}

base::Status BlkDevice::Start(uint64_t, std::span<QueuePort* const> ports) {
  for (size_t i = 0; i < blk_->queue_count(); ++i) blk_->queue(i).SetPort(ports[i]);
  return {};
}

void BlkDevice::Stop() {
  for (size_t i = 0; i < blk_->queue_count(); ++i) blk_->queue(i).SetPort(nullptr);
}

}  // namespace holt::vmm
