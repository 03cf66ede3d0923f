#include "vmm/devices/vsock_vhost_user.h"

#include "vmm/virtio/config_space.h"

namespace holt::vmm {

void VsockVhostUser::ReadConfig(uint32_t offset, std::span<std::byte> out) const {
  const uint64_t cid = vsock_->guest_cid();
  CopyConfig(cid, offset, out);
}

void VsockVhostUser::StartQueue(vhost_user::BackendQueue& queue) {
  ports_[queue.index()].emplace(queue);
  vsock_->SetQueue(queue.index(), &*ports_[queue.index()]);
}

void VsockVhostUser::StopQueue(vhost_user::BackendQueue& queue) {
  // A queue stops and starts again with the memory table too: the streams live on.
  vsock_->SetQueue(queue.index(), nullptr);
  ports_[queue.index()].reset();
}

}  // namespace holt::vmm
