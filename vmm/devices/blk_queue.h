#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "vmm/devices/blk_format.h"
#include "vmm/devices/blk_ring.h"
#include "vmm/virtio/device.h"

namespace holt::vmm {

// A disk: raw bytes in one file, whatever they mean.
struct BlkDisk {
  // A block device (or, in tests, a file), open as `read_only` says. None where the ring gets its
  // file from another process.
  base::UniqueFd fd;
  uint64_t bytes = 0;          // when it was opened; a rest below a sector is out of reach
  uint32_t block_bytes = 512;  // the smallest that the disk itself writes
  bool read_only = false;
  std::string id;  // at most blk::kIdBytes; how the guest knows it. Empty: there is no disk

  bool empty() const { return id.empty(); }
  uint64_t sectors() const { return bytes / blk::kSectorBytes; }
};

// One queue of virtio-blk (virtio 1.2, 5.2.6). Knows neither transport nor back end.
//
// Every request goes to a ring of the kernel's and comes back through the loop: nothing here waits
// for the disk but a queue that is stopped. As many requests are in flight as the queue has
// descriptors, each known by its head, which the queue guards. Whatever the driver gets wrong in a
// request is that request's status.
class BlkQueue {
 public:
  // `disk`, which is the file of `ring`, outlives this. It may become another in the loop while
  // nothing is in flight, and none (empty) at any time: then every request fails, and what is in
  // flight ends with what the kernel has begun.
  static base::Result<std::unique_ptr<BlkQueue>> Create(base::EventLoop& loop, const BlkDisk& disk,
                                                        std::unique_ptr<BlkRing> ring);
  ~BlkQueue();
  BlkQueue(const BlkQueue&) = delete;
  BlkQueue& operator=(const BlkQueue&) = delete;

  // Requests taken in one go, so that a busy guest leaves the loop to others.
  static constexpr int kBudget = 256;
  // Buffers in one request: a chain's descriptors but for header and status.
  static constexpr uint32_t kMaxSegments = blk::kQueueSize - 2;
  // Bytes that one request may discard or zero.
  static constexpr uint32_t kMaxRangeBytes = 1u << 30;

  // The queue runs from now on; null: waits for what is in flight, and touches it no more.
  void SetPort(QueuePort* port);
  void OnKick();
  // Calls back when nothing is in flight: at once, or in the loop. One at a time.
  void WhenIdle(std::function<void()> callback);

 private:
  struct Request {
    DescriptorChain chain;
    bool busy = false;
    blk::Header header{};
    std::vector<iovec> buffers;
    size_t first = 0;  // of buffers, that is not done
    uint64_t offset = 0;
    uint64_t left = 0;
    uint32_t written = 0;  // of the guest's memory, without the status
    bool unmap = false;
  };

  BlkQueue(base::EventLoop& loop, const BlkDisk& disk) : loop_(loop), disk_(disk) {}
  void Serve();
  void ServeAgain();
  void Submit();
  void Reap();
  void Drain();
  // True: in flight now. False: `status` is its end.
  bool Begin(uint16_t head, Request& request, blk::Status& status);
  bool BeginTransfer(uint16_t head, Request& request, blk::Status& status);
  bool BeginRange(uint16_t head, Request& request, blk::Status& status);
  void Transfer(uint16_t head, Request& request);
  void Allocate(uint16_t head, Request& request);
  void GoOn(uint16_t head, Request& request);
  void OnDone(uint16_t head, int result);
  void Finish(uint16_t head, Request& request, blk::Status status);
  bool InDisk(uint64_t sector, uint64_t bytes) const;

  base::EventLoop& loop_;
  const BlkDisk& disk_;
  std::unique_ptr<BlkRing> ring_;
  QueuePort* port_ = nullptr;
  std::vector<Request> requests_;  // by head
  uint32_t busy_ = 0;
  bool posted_ = false;
  bool submit_later_ = false;
  DescriptorChain chain_;
  std::function<void()> on_idle_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace holt::vmm
