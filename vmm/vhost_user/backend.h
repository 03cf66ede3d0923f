#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/vhost_user/protocol.h"
#include "vmm/virtio/device.h"
#include "vmm/virtio/queue.h"

// A vhost-user back end: the side that serves a virtio device to a VMM in another process. Knows
// nothing of any device; holt-fsd and holt-vmm's vsock bring theirs.
namespace holt::vmm::vhost_user {

// One virtqueue as a device sees it. Belongs to one event loop; touch it only there.
class BackendQueue {
 public:
  BackendQueue(unsigned index, uint16_t max_size, base::EventLoop* loop)
      : index_(index), loop_(loop), queue_(max_size) {}

  unsigned index() const { return index_; }
  base::EventLoop& loop() { return *loop_; }
  Queue& queue() { return queue_; }

  // Interrupts the driver if it wants that for what was pushed since the last call.
  void Notify();
  // The driver broke the queue's rules: says so once, tells the front end, and serves it no more
  // until it is started again.
  void ReportBroken(const base::Error& error);

 private:
  friend class Backend;

  const unsigned index_;
  base::EventLoop* const loop_;
  Queue queue_;
  base::UniqueFd call_;
  base::UniqueFd error_;
};

// The same to a device that knows queues by their port.
class BackendPort : public QueuePort {
 public:
  explicit BackendPort(BackendQueue& queue) : queue_(queue) {}
  Queue& queue() override { return queue_.queue(); }
  void Notify() override { queue_.Notify(); }
  void ReportBroken(const base::Error& error) override { queue_.ReportBroken(error); }

 private:
  BackendQueue& queue_;
};

// What a device implements. FeaturesNegotiated, ReadConfig, WriteConfig and Reset are called in the
// back end's loop; the others in the loop of their queue.
class Device {
 public:
  virtual ~Device() = default;

  // Device feature bits; VERSION_1, INDIRECT_DESC and EVENT_IDX are added by the back end.
  virtual uint64_t Features() const { return 0; }
  virtual void FeaturesNegotiated(uint64_t features) { (void)features; }

  virtual unsigned QueueCount() const = 0;
  virtual uint16_t MaxQueueSize() const = 0;

  // Whether the configuration space is this side's. QEMU warns of one that it keeps itself.
  virtual bool HasConfig() const { return false; }
  // Whether it may change while the driver runs (Backend::TellConfigChanged).
  virtual bool ConfigChanges() const { return false; }
  // Fills `out` with the configuration space from `offset`; beyond its end, with zeros.
  virtual void ReadConfig(uint32_t offset, std::span<std::byte> out) const {
    (void)offset, (void)out;
  }
  virtual void WriteConfig(uint32_t offset, std::span<const std::byte> data) {
    (void)offset, (void)data;
  }

  // The queue runs from here; OnKick follows at once, because buffers may be waiting.
  virtual void StartQueue(BackendQueue& queue) = 0;
  // Before the queue stops. Every chain that was popped must be pushed here; afterwards the queue
  // and the guest's memory must not be touched.
  virtual void StopQueue(BackendQueue& queue) = 0;
  // Buffers may be available.
  virtual void OnKick(BackendQueue& queue) = 0;

  // All queues are stopped; forget the driver.
  virtual void Reset() {}
};

// Serves one connection. Not thread-safe: lives in `loop`. Queues live in loops that the owner
// chose and runs; the back end calls into them and waits for the answer, so they must be running
// (or be `loop` itself).
class Backend {
 public:
  struct Options {
    base::EventLoop* loop = nullptr;
    base::UniqueFd socket;  // connected
    Device* device = nullptr;
    // The loop of queue i is queue_loops[i % size]; empty: all in `loop`.
    std::vector<base::EventLoop*> queue_loops;
    // The front end is gone, or broke the protocol (the error says how). Queues are stopped. The
    // callback may not delete the Backend; it may stop the loop.
    std::function<void(const base::Error& why)> on_closed;
  };

  static base::Result<std::unique_ptr<Backend>> Create(Options options);
  ~Backend();
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  // The configuration space is another now: the front end reads it again and tells the driver. Lost
  // on a front end that has not asked to be told.
  void TellConfigChanged();

 private:
  struct Region {
    MemoryRegion spec;
    base::UniqueFd fd;
  };
  struct Ring {
    std::unique_ptr<BackendQueue> queue;
    uint32_t size = 0;
    VringAddress address{};
    bool address_set = false;
    uint16_t base = 0;
    bool enabled = false;
    bool running = false;
    base::UniqueFd kick;
  };

  explicit Backend(Options options);
  void OnSocket();
  void Close(const base::Error& why);
  base::Status Handle(Message& message);
  base::Status Dispatch(Message& message, bool& replied);
  base::Status Reply(const Message& message, std::string_view payload);

  base::Status SetFeatures(uint64_t features);
  base::Status SetMemTable(Message& message);
  base::Status AddMemReg(Message& message);
  base::Status RemMemReg(const Message& message);
  base::Status SetVringNum(const Message& message);
  base::Status SetVringAddr(const Message& message);
  base::Status SetVringBase(const Message& message);
  base::Status GetVringBase(const Message& message);
  base::Status SetVringFd(Message& message);
  base::Status SetVringEnable(const Message& message);
  uint64_t ProtocolFeatures() const;
  base::Status GetConfig(const Message& message);
  base::Status SetConfig(const Message& message);
  base::Status SetBackendRequestFd(Message& message);
  base::Status ResetDevice();

  base::Result<Ring*> FindRing(uint64_t index);
  base::Result<GuestAddr> Translate(uint64_t user_address) const;
  // Maps `regions` and restarts the rings that ran on the memory before.
  base::Status ReplaceMemory(std::vector<Region> regions);
  // Starts the ring when everything it needs is there.
  base::Status MaybeStart(Ring& ring);
  void StopRing(Ring& ring);
  void StopAll();
  // Runs `call` in the ring's loop and returns when it has.
  void InLoopOf(Ring& ring, const std::function<void()>& call);

  Options options_;
  MessageReader reader_;
  std::vector<Ring> rings_;
  std::vector<Region> regions_;
  std::shared_ptr<const GuestMemory> memory_;
  uint64_t features_ = 0;
  uint64_t protocol_features_ = 0;
  uint8_t status_ = 0;
  base::UniqueFd to_front_end_;  // our own requests
  bool closed_ = false;
};

}  // namespace holt::vmm::vhost_user
