#include "vmm/fsd/fs_device.h"

#include <algorithm>
#include <chrono>

namespace holt::fsd {

using vmm::DescriptorChain;
using vmm::vhost_user::BackendQueue;

namespace {

// Requests served before the loop looks at its other descriptors again.
constexpr int kBurst = 256;
// Locks that others (not this guest) hold are asked for this often.
constexpr std::chrono::milliseconds kLockRetry(20);

}  // namespace

struct FsDevice::FsQueue : Completer {
  BackendQueue* queue = nullptr;  // while it runs
  std::unique_ptr<Worker> worker;
  DescriptorChain chain;
  base::EventLoop::TimerId retry_timer = 0;

  std::mutex mutex;
  base::EventLoop* loop = nullptr;                         // guarded by mutex
  std::vector<std::pair<DescriptorChain, uint32_t>> done;  // guarded by mutex

  void Complete(DescriptorChain finished, uint32_t written) override {
    std::lock_guard lock(mutex);
    done.emplace_back(std::move(finished), written);
    if (done.size() == 1 && loop != nullptr) loop->Post([this] { PushDone(); });
  }

  void PushDone() {
    std::vector<std::pair<DescriptorChain, uint32_t>> batch;
    {
      std::lock_guard lock(mutex);
      batch.swap(done);
    }
    if (queue == nullptr) return;
    for (auto& [finished, written] : batch) queue->queue().Push(finished, written);
    queue->Notify();
  }
};

FsDevice::FsDevice(Server* server, unsigned request_queues) : server_(server) {
  for (unsigned i = 0; i < request_queues + 1; ++i) queues_.push_back(std::make_unique<FsQueue>());
}

FsDevice::~FsDevice() = default;

Credentials& FsDevice::CredentialsOfThisThread(base::EventLoop* loop) {
  std::lock_guard lock(credentials_mutex_);
  auto& slot = credentials_[loop];
  if (!slot) slot = std::make_unique<Credentials>();
  return *slot;
}

void FsDevice::StartQueue(BackendQueue& queue) {
  FsQueue& q = *queues_[queue.index()];
  if (!q.worker) q.worker = std::make_unique<Worker>(CredentialsOfThisThread(&queue.loop()), &q);
  q.queue = &queue;
  std::lock_guard lock(q.mutex);
  q.loop = &queue.loop();
}

void FsDevice::StopQueue(BackendQueue& queue) {
  FsQueue& q = *queues_[queue.index()];
  if (q.retry_timer != 0) queue.loop().CancelTimer(q.retry_timer);
  q.retry_timer = 0;
  server_->Cancel(&q);
  q.PushDone();
  q.queue = nullptr;
}

void FsDevice::OnKick(BackendQueue& queue) {
  FsQueue& q = *queues_[queue.index()];
  vmm::Queue& ring = queue.queue();
  // A burst that was put off may outlive the queue's stop.
  if (q.queue == nullptr || ring.broken()) return;
  int served = 0;
  do {
    ring.DisableNotifications();
    while (true) {
      auto popped = ring.Pop(q.chain);
      if (!popped) return queue.ReportBroken(popped.error());
      if (!*popped) break;
      const uint16_t head = q.chain.head;
      if (auto written = server_->Handle(*q.worker, q.chain)) {
        ring.Push(head, *written);
        queue.Notify();
      } else {
        RetryLocksLater(q);
      }
      if (++served >= kBurst) {
        queue.loop().Post([this, &queue] { OnKick(queue); });
        return;
      }
    }
  } while (ring.EnableNotifications());
}

void FsDevice::RetryLocksLater(FsQueue& queue) {
  if (queue.retry_timer != 0 || !server_->LocksWaiting()) return;
  queue.retry_timer = queue.queue->loop().AddTimer(kLockRetry, [this, &queue] {
    queue.retry_timer = 0;
    if (queue.queue != nullptr && server_->RetryLocks()) RetryLocksLater(queue);
  });
}

}  // namespace holt::fsd
