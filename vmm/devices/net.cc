#include "vmm/devices/net.h"

#include <algorithm>

#include "vmm/virtio/config_space.h"

namespace holt::vmm {
namespace {

constexpr size_t kQueuesOfAPair = 2;

}  // namespace

uint64_t NetDevice::Features() const {
  uint64_t features = pairs_.front()->Features() | net::kMac | net::kStatus;
  if (identity_.mtu != 0) features |= net::kMtu;
  if (pairs_.size() > 1) features |= net::kControlQueue | net::kMultiQueue;
  return features;
}

std::vector<uint16_t> NetDevice::QueueSizes() const {
  std::vector<uint16_t> sizes(kQueuesOfAPair * pairs_.size(), NetQueues::kQueueSize);
  if (pairs_.size() > 1) sizes.push_back(kControlQueueSize);
  return sizes;
}

void NetDevice::ReadConfig(uint32_t offset, std::span<std::byte> out) const {
  net::Config config{};
  std::ranges::copy(identity_.mac, config.mac);
  config.status = net::kLinkUp;
  config.max_queue_pairs = static_cast<uint16_t>(pairs_.size());
  config.mtu = identity_.mtu;
  CopyConfig(config, offset, out);
}

base::Status NetDevice::Start(uint64_t features, std::span<QueuePort* const> ports) {
  for (auto& pair : pairs_) TRY(pair->SetFeatures(features));
  const bool several = (features & net::kMultiQueue) != 0;
  const size_t used = kQueuesOfAPair * (several ? pairs_.size() : 1);
  ports_.assign(ports.begin(), ports.begin() + static_cast<ptrdiff_t>(used));
  // 5.1.2: behind the pairs, of which a driver without MQ knows one.
  control_index_ = used;
  if ((features & net::kControlQueue) != 0 && used < ports.size()) control_ = ports[used];
  UsePairs(1);
  return {};
}

void NetDevice::Stop() {
  UsePairs(0);
  ports_.clear();
  control_ = nullptr;
}

void NetDevice::OnKick(size_t index) {
  if (control_ != nullptr && index == control_index_) return Control();
  if (index < ports_.size()) pairs_[index / kQueuesOfAPair]->OnKick(index % kQueuesOfAPair);
}

// The first `count` pairs have their queues, the others none.
void NetDevice::UsePairs(size_t count) {
  for (size_t i = 0; i < ports_.size(); ++i) {
    NetQueues& pair = *pairs_[i / kQueuesOfAPair];
    pair.SetQueue(i % kQueuesOfAPair, i / kQueuesOfAPair < count ? ports_[i] : nullptr);
  }
}

void NetDevice::Control() {
  Queue& queue = control_->queue();
  if (!queue.running() || queue.broken()) return;
  // A driver waits for each answer: one that does not gets no more than a ringful of them at once.
  int budget = kControlQueueSize;
  do {
    for (; budget > 0; --budget) {
      auto popped = queue.Pop(control_chain_);
      if (!popped) return control_->ReportBroken(popped.error());
      if (!*popped) break;
      ChainWriter writer(control_chain_);
      writer.Write(Obey(control_chain_));
      queue.Push(control_chain_, writer.written());
    }
  } while (budget > 0 && queue.EnableNotifications());
  control_->Notify();
}

uint8_t NetDevice::Obey(const DescriptorChain& chain) {
  ChainReader reader(chain);
  net::Control control{};
  uint16_t pairs = 0;
  if (!reader.Read(control) || control.command_class != net::kControlMultiQueue ||
      control.command != net::kControlSetPairs || !reader.Read(pairs) || pairs == 0 ||
      pairs > ports_.size() / kQueuesOfAPair)
    return net::kControlError;
  UsePairs(pairs);
  // Kicked before, when nobody listened.
  for (size_t i = 0; i < pairs * kQueuesOfAPair; ++i) OnKick(i);
  return net::kControlOk;
}

}  // namespace holt::vmm
