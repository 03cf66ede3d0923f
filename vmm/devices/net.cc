#include "vmm/devices/net.h"

#include <algorithm>

#include "vmm/virtio/config_space.h"

namespace holt::vmm {

uint64_t NetDevice::Features() const {
  uint64_t features = queues_->Features() | net::kMac | net::kStatus;
  if (identity_.mtu != 0) features |= net::kMtu;
  return features;
}

void NetDevice::ReadConfig(uint32_t offset, std::span<std::byte> out) const {
  net::Config config{};
  std::ranges::copy(identity_.mac, config.mac);
  config.status = net::kLinkUp;
  config.max_queue_pairs = 1;
  config.mtu = identity_.mtu;
  CopyConfig(config, offset, out);
}

base::Status NetDevice::Start(uint64_t features, std::span<QueuePort* const> ports) {
  TRY(queues_->SetFeatures(features));
  queues_->SetQueue(NetQueues::kReceive, ports[NetQueues::kReceive]);
  queues_->SetQueue(NetQueues::kTransmit, ports[NetQueues::kTransmit]);
  return {};
}

void NetDevice::Stop() {
  queues_->SetQueue(NetQueues::kReceive, nullptr);
  queues_->SetQueue(NetQueues::kTransmit, nullptr);
}

}  // namespace holt::vmm
