#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "vmm/fsd/server.h"
#include "vmm/vhost_user/backend.h"

namespace holt::fsd {

// The virtio-fs device (virtio 1.2, section 5.11): queue 0 is for high-priority requests, the
// others for all. Each request is handled where its queue lives, inline; late answers come back
// there.
class FsDevice : public vmm::vhost_user::Device {
 public:
  // Linux takes at most as many pages in a request as the queue has descriptors, less a few.
  static constexpr uint16_t kQueueSize = 1024;

  FsDevice(Server* server, unsigned request_queues);
  ~FsDevice() override;

  unsigned QueueCount() const override { return static_cast<unsigned>(queues_.size()); }
  uint16_t MaxQueueSize() const override { return kQueueSize; }
  void StartQueue(vmm::vhost_user::BackendQueue& queue) override;
  void StopQueue(vmm::vhost_user::BackendQueue& queue) override;
  void OnKick(vmm::vhost_user::BackendQueue& queue) override;
  void Reset() override { server_->Reset(); }

 private:
  struct FsQueue;

  void RetryLocksLater(FsQueue& queue);
  Credentials& CredentialsOfThisThread(base::EventLoop* loop);

  Server* const server_;
  std::vector<std::unique_ptr<FsQueue>> queues_;
  std::mutex credentials_mutex_;
  std::map<base::EventLoop*, std::unique_ptr<Credentials>> credentials_;
};

}  // namespace holt::fsd
