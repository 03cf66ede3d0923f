#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "vmm/devices/blk.h"
#include "vmm/vhost_user/backend.h"

namespace holt::vmm {

// virtio-blk as the device of a vhost-user back end: for a machine whose processor is another
// process. The front end asks for the configuration space.
class BlkVhostUser : public vhost_user::Device {
 public:
  explicit BlkVhostUser(std::unique_ptr<Blk> blk)
      : blk_(std::move(blk)), ports_(blk_->queue_count()) {}

  uint64_t Features() const override { return blk_->Features(); }
  unsigned QueueCount() const override { return static_cast<unsigned>(blk_->queue_count()); }
  uint16_t MaxQueueSize() const override { return blk::kMaxQueueSize; }
  bool HasConfig() const override { return true; }
  bool ConfigChanges() const override { return blk_->spare(); }
  void ReadConfig(uint32_t offset, std::span<std::byte> out) const override;
  void StartQueue(vhost_user::BackendQueue& queue) override;
  void StopQueue(vhost_user::BackendQueue& queue) override;
  void OnKick(vhost_user::BackendQueue& queue) override { blk_->queue(queue.index()).OnKick(); }

 private:
  std::unique_ptr<Blk> blk_;
  std::vector<std::optional<vhost_user::BackendPort>> ports_;
};

}  // namespace holt::vmm
