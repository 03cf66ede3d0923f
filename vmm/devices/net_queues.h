#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "vmm/devices/net_header.h"
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

// One pair of virtio-net's queues (virtio 1.2, 5.1.6) and the tap that they lead to: one frame is
// one read or write there. A device with several pairs has several of these, each with a queue of
// the same tap.
//
// One frame waits here at most: when the guest has no buffers the tap is not read, and the host's
// queue in front of it fills up and drops. There is no state to save but the queues': a frame that
// is lost is sent again by who cares.
class NetQueues {
 public:
  struct Options {
    base::EventLoop* loop = nullptr;
    // A tap with IFF_NO_PI, IFF_VNET_HDR and headers of sizeof(net::Header) (TUNSETVNETHDRSZ).
    base::UniqueFd tap;
    // Tells the tap what the guest takes (TUN_F_…). Empty: TUNSETOFFLOAD.
    std::function<base::Status(int tap, unsigned offloads)> set_offloads;
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
  void TransmitOne(const DescriptorChain& chain);
  void PostTransmit();

  // Host to guest.
  void OnTap(uint32_t events);
  void Receive();
  // False: nothing can be read now.
  bool ReadFrame();
  enum class Deliver { kDone, kNoBuffers, kBroken };
  Deliver DeliverFrame();
  void FillChains();
  void DropFrame();
  void PutChainsBack();
  void Watch(bool readable);
  void TapFailed(std::string_view why);

  Options options_;
  uint64_t features_ = 0;
  QueuePort* receive_ = nullptr;
  QueuePort* transmit_ = nullptr;
  bool watched_ = false;
  bool posted_ = false;
  bool tap_failed_ = false;

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

}  // namespace holt::vmm
