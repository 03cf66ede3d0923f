#pragma once

#include <sys/epoll.h>

#include <memory>
#include <vector>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "vmm/devices/net_end.h"
#include "vmm/virtio/device.h"

namespace holt::vmm {

// Frames since the device exists.
struct NetCounters {
  uint64_t received_packets = 0;  // by the guest
  uint64_t received_bytes = 0;
  uint64_t received_dropped = 0;
  uint64_t sent_packets = 0;  // by the guest
  uint64_t sent_bytes = 0;
  uint64_t sent_dropped = 0;
};

// One pair of virtio-net's queues (virtio 1.2, 5.1.6) and what they lead to. A device with several
// pairs has several of these, each with a queue of the same tap.
//
// One frame waits here at most: when the guest has no buffers the other end is not read, and the
// host's queue in front of it fills up and drops. There is no state to save but the queues': a
// frame that is lost is sent again by who cares.
class NetQueues {
 public:
  struct Options {
    base::EventLoop* loop = nullptr;
    std::unique_ptr<NetEnd> end;
    // Not the first of several pairs: frames come here only while the guest uses it.
    bool optional = false;
  };
  static base::Result<std::unique_ptr<NetQueues>> Create(Options options);
  ~NetQueues();
  NetQueues(const NetQueues&) = delete;
  NetQueues& operator=(const NetQueues&) = delete;

  static constexpr size_t kReceive = 0;   // host to guest
  static constexpr size_t kTransmit = 1;  // guest to host
  static constexpr uint16_t kQueueSize = 256;
  // Frames handled in one go, so that a busy guest leaves the loop to others.
  static constexpr int kBudget = 256;

  // What of net::kOffloadFeatures can be offered.
  uint64_t Features() const { return options_.end->Features(); }
  // What the guest negotiated; before its queues are set.
  base::Status SetFeatures(uint64_t features);
  // The queue runs from now on; null: it must not be touched any more.
  void SetQueue(size_t index, QueuePort* port);
  void OnKick(size_t index);

  const NetCounters& counters() const { return counters_; }

 private:
  explicit NetQueues(Options options) : options_(std::move(options)) {}

  // Guest to host.
  void Transmit();
  // False: not now.
  bool TransmitOne(const DescriptorChain& chain);

  // Host to guest.
  void OnEnd(uint32_t events);
  void Receive();
  // False: nothing can be read now.
  bool ReadFrame();
  enum class Deliver { kDone, kNoBuffers, kBroken };
  Deliver DeliverFrame();
  void FillChains();
  void DropFrame();
  void PutChainsBack();

  // Both.
  void PostAgain(size_t index);
  void WatchToRead(bool wanted) { Watch(wanted ? watched_ | EPOLLIN : watched_ & ~EPOLLIN); }
  void WatchToWrite(bool wanted) { Watch(wanted ? watched_ | EPOLLOUT : watched_ & ~EPOLLOUT); }
  void Watch(uint32_t events);
  void EndFailed(std::string_view why);
  void Activate(bool active);

  Options options_;
  uint64_t features_ = 0;
  QueuePort* receive_ = nullptr;
  QueuePort* transmit_ = nullptr;
  uint32_t watched_ = 0;  // epoll events
  bool posted_[2] = {};
  bool end_failed_ = false;

  // The frame that waits for buffers, and how many bytes it has (0: none waits).
  net::Header header_{};
  std::vector<std::byte> frame_;
  uint32_t frame_bytes_ = 0;
  // The first `held_` are the buffers that were taken for it so far, with room for `room_` bytes.
  // Kept while it waits: put back, they would hide from the driver that more are wanted.
  std::vector<DescriptorChain> chains_;
  size_t held_ = 0;
  uint64_t room_ = 0;

  // Reused, so that a frame costs no allocation.
  DescriptorChain transmit_chain_;
  std::vector<iovec> iovecs_;
  std::vector<Queue::Returned> returned_;

  NetCounters counters_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// The pairs of one device, one for each end.
using NetPairs = std::vector<std::unique_ptr<NetQueues>>;
base::Result<NetPairs> MakeNetPairs(base::EventLoop& loop,
                                    std::vector<std::unique_ptr<NetEnd>> ends);
// Of all together.
NetCounters SumOf(const NetPairs& pairs);

}  // namespace holt::vmm
