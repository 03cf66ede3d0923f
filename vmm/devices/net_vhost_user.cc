#include "vmm/devices/net_vhost_user.h"

#include "base/log.h"

namespace holt::vmm {

void NetVhostUser::FeaturesNegotiated(uint64_t features) {
  // What the tap keeps to itself then is dropped frame by frame, as it comes.
  if (auto status = queues_->SetFeatures(features); !status)
    base::log::Warning("net: {}", status.error().message());
}

void NetVhostUser::StartQueue(vhost_user::BackendQueue& queue) {
  ports_[queue.index()].emplace(queue);
  queues_->SetQueue(queue.index(), &*ports_[queue.index()]);
}

void NetVhostUser::StopQueue(vhost_user::BackendQueue& queue) {
  queues_->SetQueue(queue.index(), nullptr);
  ports_[queue.index()].reset();
}

}  // namespace holt::vmm
