#include "vmm/devices/blk.h"

#include "vmm/virtio/config_space.h"

namespace holt::vmm {

using base::Code;
using base::Result;
using base::Status;

Blk::Blk(BlkDisk disk, bool spare)
    : disk_(std::move(disk)),
      spare_(spare),
      writable_(spare || !disk_.read_only),
      block_bytes_(disk_.block_bytes),
      sectors_(disk_.sectors()) {}

Status Blk::AddQueue(base::EventLoop& loop, std::unique_ptr<BlkRing> ring) {
  TRY_ASSIGN(auto queue, BlkQueue::Create(loop, disk_, std::move(ring)));
  queues_.push_back(std::move(queue));
  return {};
}

Result<std::unique_ptr<Blk>> Blk::Create(base::EventLoop& loop, BlkDisk disk, uint32_t vcpus) {
  std::unique_ptr<Blk> blk(new Blk(std::move(disk), false));
  for (uint32_t i = 0; i < blk::QueuesFor(vcpus); ++i) {
    TRY_ASSIGN(auto ring, BlkRing::Create(blk->disk_.fd.get(), blk::kMaxQueueSize));
    TRY(blk->AddQueue(loop, std::move(ring)));
  }
  return blk;
}

Result<std::unique_ptr<Blk>> Blk::CreateSpare(base::EventLoop& loop,
                                              std::vector<std::unique_ptr<BlkRing>> rings) {
  std::unique_ptr<Blk> blk(new Blk(BlkDisk(), true));
  for (auto& ring : rings) TRY(blk->AddQueue(loop, std::move(ring)));
  return blk;
}

Status Blk::Plug(BlkDisk disk) {
  HOLT_CHECK(spare_ && !disk.empty());
  if (!disk_.empty())
    return base::MakeError(Code::kFailedPrecondition, "has the disk {}", disk_.id);
  if (leaving_)
    return base::MakeError(Code::kFailedPrecondition, "its last disk still has requests");
  disk_ = std::move(disk);
  sectors_ = disk_.sectors();
  return {};
}

Status Blk::Unplug(std::function<void()> done) {
  HOLT_CHECK(spare_);
  if (disk_.empty() || leaving_)
    return base::MakeError(Code::kFailedPrecondition, "has no disk to take away");
  disk_ = BlkDisk();
  sectors_ = 0;
  leaving_ = true;
  auto left = std::make_shared<size_t>(queues_.size());
  for (auto& queue : queues_) {
    queue->WhenIdle([this, left, done] {
      if (--*left > 0) return;
      leaving_ = false;
      done();
    });
  }
  return {};
}

uint64_t Blk::Features() const {
  const uint64_t features =
      blk::kSegMax | blk::kBlockSize | blk::kFlush | (queues_.size() > 1 ? blk::kMultiQueue : 0);
  return features | (writable_ ? blk::kDiscard | blk::kWriteZeroes : blk::kReadOnly);
}

blk::Config Blk::Config() const {
  blk::Config config{};
  config.capacity = sectors_;
  config.seg_max = BlkQueue::kMaxSegments;
  config.block_size = block_bytes_;
  config.num_queues = static_cast<uint16_t>(queues_.size());
  if (!writable_) return config;
  constexpr uint32_t kRange = BlkQueue::kMaxRangeBytes / blk::kSectorBytes;
  config.max_discard_sectors = kRange;
  config.max_discard_segments = 1;
  config.discard_alignment = block_bytes_ / blk::kSectorBytes;
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
