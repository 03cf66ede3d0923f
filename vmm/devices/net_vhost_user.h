#pragma once

#include <memory>
#include <optional>

#include "vmm/devices/net_queues.h"
#include "vmm/vhost_user/backend.h"

namespace holt::vmm {

// The same as the device of a vhost-user back end: for a machine whose processor is another
// process. The configuration space stays with the front end (QEMU keeps it to itself).
class NetVhostUser : public vhost_user::Device {
 public:
  explicit NetVhostUser(std::unique_ptr<NetQueues> queues) : queues_(std::move(queues)) {}

  uint64_t Features() const override { return queues_->Features(); }
  void FeaturesNegotiated(uint64_t features) override;
  unsigned QueueCount() const override { return 2; }
  uint16_t MaxQueueSize() const override { return 1024; }
  void StartQueue(vhost_user::BackendQueue& queue) override;
  void StopQueue(vhost_user::BackendQueue& queue) override;
  void OnKick(vhost_user::BackendQueue& queue) override { queues_->OnKick(queue.index()); }

 private:
  std::unique_ptr<NetQueues> queues_;
  std::optional<vhost_user::BackendPort> ports_[2];
};

// Waits for the one front end that connects to a listening socket, and serves it.
class NetVhostUserServer {
 public:
  static base::Result<std::unique_ptr<NetVhostUserServer>> Create(
      base::EventLoop& loop, base::UniqueFd listener, std::unique_ptr<NetQueues> queues);
  ~NetVhostUserServer();

 private:
  NetVhostUserServer(base::EventLoop& loop, base::UniqueFd listener,
                     std::unique_ptr<NetQueues> queues)
      : loop_(loop), listener_(std::move(listener)), device_(std::move(queues)) {}
  void OnListener();
  base::Status Serve(base::UniqueFd socket);

  base::EventLoop& loop_;
  base::UniqueFd listener_;  // until somebody connected
  NetVhostUser device_;
  std::unique_ptr<vhost_user::Backend> backend_;
};

}  // namespace holt::vmm
