#include "vmm/devices/blk_vhost_user.h"

#include "vmm/virtio/config_space.h"

namespace holt::vmm {

void BlkVhostUser::ReadConfig(uint32_t offset, std::span<std::byte> out) const {
  CopyConfig(blk_->Config(), offset, out);
}

void BlkVhostUser::StartQueue(vhost_user::BackendQueue& queue) {
  auto& port = ports_[queue.index()];
  port.emplace(queue);
  blk_->queue(queue.index()).SetPort(&*port);
}

void BlkVhostUser::StopQueue(vhost_user::BackendQueue& queue) {
  blk_->queue(queue.index()).SetPort(nullptr);
  ports_[queue.index()].reset();
}

}  // namespace holt::vmm
