#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "vmm/devices/net_queues.h"
#include "vmm/vhost_user/backend.h"

namespace holt::vmm {

// The same as the device of a vhost-user back end: for a machine whose processor is another
// process. The configuration space stays with the front end (QEMU keeps it to itself).
class NetVhostUser : public vhost_user::Device {
 public:
  explicit NetVhostUser(NetPairs pairs) : pairs_(std::move(pairs)), ports_(QueueCount()) {}

  uint64_t Features() const override {
    return pairs_.front()->Features() | (pairs_.size() > 1 ? net::kMultiQueue : 0);
  }
  void FeaturesNegotiated(uint64_t features) override;
  // Without the control queue, which the front end serves: a pair is in use while it is enabled.
  unsigned QueueCount() const override { return 2 * static_cast<unsigned>(pairs_.size()); }
  uint16_t MaxQueueSize() const override { return 1024; }
  void StartQueue(vhost_user::BackendQueue& queue) override;
  void StopQueue(vhost_user::BackendQueue& queue) override;
  void OnKick(vhost_user::BackendQueue& queue) override { PairOf(queue).OnKick(queue.index() % 2); }

 private:
  NetQueues& PairOf(const vhost_user::BackendQueue& queue) { return *pairs_[queue.index() / 2]; }

  NetPairs pairs_;
  std::vector<std::optional<vhost_user::BackendPort>> ports_;
};

// Waits for the one front end that connects to a listening socket, and serves it.
class NetVhostUserServer {
 public:
  static base::Result<std::unique_ptr<NetVhostUserServer>> Create(base::EventLoop& loop,
                                                                  base::UniqueFd listener,
                                                                  NetPairs pairs);
  ~NetVhostUserServer();

 private:
  NetVhostUserServer(base::EventLoop& loop, base::UniqueFd listener, NetPairs pairs)
      : loop_(loop), listener_(std::move(listener)), device_(std::move(pairs)) {}
  void OnListener();
  base::Status Serve(base::UniqueFd socket);

  base::EventLoop& loop_;
  base::UniqueFd listener_;  // until somebody connected
  NetVhostUser device_;
  std::unique_ptr<vhost_user::Backend> backend_;
};

}  // namespace holt::vmm
