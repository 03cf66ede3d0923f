#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "vmm/vhost_user/frontend.h"
#include "vmm/virtio/device.h"

namespace holt::vmm {

// virtio-fs (virtio 1.2, 5.11), served by another process (holt-fsd) over vhost-user. Kicks and
// interrupts go between guest and server without us.
class FsDevice : public VirtioDevice {
 public:
  struct Options {
    base::EventLoop* loop = nullptr;
    std::string tag;  // IsShareTag
    base::UniqueFd socket;
    uint32_t vcpus = 1;
    std::shared_ptr<const GuestMemory> memory;
    int memory_fd = -1;  // borrowed
    // The server went away, or broke the protocol. In the loop, once.
    std::function<void(const base::Error&)> on_failed;
  };
  // Speaks with the server: it must be running.
  static base::Result<std::unique_ptr<FsDevice>> Create(Options options);
  ~FsDevice() override;

  std::string_view Name() const override { return "fs"; }
  uint32_t Type() const override { return kTypeFs; }
  uint64_t Features() const override { return frontend_->features(); }
  std::vector<uint16_t> QueueSizes() const override;
  void ReadConfig(uint32_t offset, std::span<std::byte> out) const override;
  bool External() const override { return true; }
  base::Status StartExternal(uint64_t features, std::span<const ExternalQueue> queues) override;
  base::Status StopExternal(std::span<ExternalQueue> queues) override;

  int socket_for_test() const { return frontend_->socket(); }

  // Linux takes as many pages in a request as the queue has descriptors, less a few.
  static constexpr uint16_t kQueueSize = 1024;

 private:
  explicit FsDevice(Options options) : options_(std::move(options)) {}

  Options options_;
  std::unique_ptr<vhost_user::Frontend> frontend_;
  uint32_t request_queues_ = 1;
  bool failed_ = false;
};

}  // namespace holt::vmm
