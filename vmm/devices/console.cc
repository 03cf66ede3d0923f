#include "vmm/devices/console.h"

#include <array>

namespace holt::vmm {

base::Status ConsoleDevice::Start(uint64_t, std::span<QueuePort* const> ports) {
  if (ports[kTransmitQueue] == nullptr)
    return base::MakeError(base::Code::kInvalidArgument, "the driver set up no transmit queue");
  transmit_ = ports[kTransmitQueue];
  return {};
}

void ConsoleDevice::OnKick(size_t index) {
  // The driver's empty buffers stay where they are.
  if (index == kTransmitQueue) Transmit();
}

void ConsoleDevice::Transmit() {
  if (transmit_ == nullptr || transmit_->queue().broken()) return;
  Queue& queue = transmit_->queue();
  DescriptorChain chain;
  int budget = kBudget;
  do {
    queue.DisableNotifications();
    while (true) {
      auto popped = queue.Pop(chain);
      if (!popped) return transmit_->ReportBroken(popped.error());
      if (!*popped) break;
      Append(chain);
      queue.Push(chain, 0);
      // The driver waits for each buffer: tell it at once.
      transmit_->Notify();
      if (--budget > 0) continue;
      if (std::exchange(posted_, true)) return;
      loop_.Post([this, alive = std::weak_ptr(alive_)] {
        if (alive.expired()) return;
        posted_ = false;
        Transmit();
      });
      return;
    }
  } while (queue.EnableNotifications());
}

void ConsoleDevice::Append(const DescriptorChain& chain) {
  ChainReader reader(chain);
  reader.Truncate(kMaxBufferBytes);
  std::array<char, 4096> bytes;
  while (reader.left() != 0) {
    const size_t n = std::min<size_t>(reader.left(), bytes.size());
    if (!reader.Read(std::as_writable_bytes(std::span(bytes).first(n)))) return;
    log_.Append(std::string_view(bytes.data(), n));
  }
}

}  // namespace holt::vmm
