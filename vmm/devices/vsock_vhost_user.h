#pragma once

#include <memory>
#include <optional>

#include "vmm/devices/vsock.h"
#include "vmm/vhost_user/backend.h"

namespace holt::vmm {

// Vsock as the device of a vhost-user back end: for a machine whose processor is another process.
// The event queue stays with the front end (QEMU keeps it to itself).
class VsockVhostUser : public vhost_user::Device {
 public:
  explicit VsockVhostUser(std::unique_ptr<Vsock> vsock) : vsock_(std::move(vsock)) {}

  unsigned QueueCount() const override { return 2; }
  uint16_t MaxQueueSize() const override { return 1024; }
  bool HasConfig() const override { return true; }
  void ReadConfig(uint32_t offset, std::span<std::byte> out) const override;
  void StartQueue(vhost_user::BackendQueue& queue) override;
  void StopQueue(vhost_user::BackendQueue& queue) override;
  void OnKick(vhost_user::BackendQueue& queue) override { vsock_->OnKick(queue.index()); }
  void Reset() override { vsock_->EndStreams(); }

 private:
  std::unique_ptr<Vsock> vsock_;
  std::optional<vhost_user::BackendPort> ports_[2];
};

}  // namespace holt::vmm
