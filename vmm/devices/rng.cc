#include "vmm/devices/rng.h"

#include <sys/random.h>

#include <algorithm>
#include <array>

namespace holt::vmm {

base::Status RngDevice::Start(uint64_t, std::span<QueuePort* const> ports) {
  port_ = ports[0];
  return {};
}

void RngDevice::OnKick(size_t) { Serve(); }

void RngDevice::Serve() {
  if (port_ == nullptr || port_->queue().broken()) return;
  Queue& queue = port_->queue();
  DescriptorChain chain;
  std::array<std::byte, kMaxRequestBytes> bytes;
  int budget = kBudget;
  do {
    queue.DisableNotifications();
    while (true) {
      if (budget-- == 0) {
        port_->Notify();
        if (std::exchange(posted_, true)) return;
        loop_.Post([this, alive = std::weak_ptr(alive_)] {
          if (alive.expired()) return;
          posted_ = false;
          Serve();
        });
        return;
      }
      auto popped = queue.Pop(chain);
      if (!popped) return port_->ReportBroken(popped.error());
      if (!*popped) break;
      ChainWriter writer(chain);
      const size_t wanted = std::min<size_t>(writer.left(), bytes.size());
      const ssize_t got = wanted == 0 ? 0 : getrandom(bytes.data(), wanted, 0);
      if (got > 0) writer.Write(std::span<const std::byte>(bytes).first(static_cast<size_t>(got)));
      queue.Push(chain, writer.written());
    }
  } while (queue.EnableNotifications());
  port_->Notify();
}

}  // namespace holt::vmm
