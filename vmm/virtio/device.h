#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "vmm/virtio/queue.h"

// What a virtio device and whatever carries it (virtio-mmio, vhost-user) know of each other.
namespace holt::vmm {

// Virtio device types (virtio 1.2, section 5).
inline constexpr uint32_t kTypeNet = 1;
inline constexpr uint32_t kTypeConsole = 3;
inline constexpr uint32_t kTypeEntropy = 4;
inline constexpr uint32_t kTypeVsock = 19;
inline constexpr uint32_t kTypeFs = 26;

// A running queue, as the device that serves it sees it. One thread: the device's loop.
class QueuePort {
 public:
  virtual ~QueuePort() = default;
  virtual Queue& queue() = 0;
  // Interrupts the driver if it wants that for what was pushed since the last call.
  virtual void Notify() = 0;
  // The driver broke the rules (`error` is Pop's): the device asks for a reset and serves no more.
  virtual void ReportBroken(const base::Error& error) = 0;
};

// A queue whose server is another process.
struct ExternalQueue {
  uint16_t index = 0;
  QueueConfig config;
  int kick_fd = -1;  // borrowed: readable when the driver kicks
  int call_fd = -1;  // borrowed: written to interrupt the driver
};

// A device. Describe-functions may be called from any thread and never change their answer, but for
// ReadConfig between the transport's calls of a change; the rest is called in the loop of the
// device.
class VirtioDevice {
 public:
  virtual ~VirtioDevice() = default;

  virtual std::string_view Name() const = 0;
  virtual uint32_t Type() const = 0;
  // Beyond VERSION_1, INDIRECT_DESC and EVENT_IDX, which the transport adds for queues of ours.
  virtual uint64_t Features() const { return 0; }
  virtual std::vector<uint16_t> QueueSizes() const = 0;
  // `out` comes zeroed; bytes beyond the configuration space stay so.
  virtual void ReadConfig(uint32_t offset, std::span<std::byte> out) const {
    (void)offset, (void)out;
  }
  // True: the queues are served elsewhere; StartExternal and StopExternal are called.
  virtual bool External() const { return false; }

  // The driver is ready. ports[i] is null for a queue that it did not set up.
  virtual base::Status Start(uint64_t features, std::span<QueuePort* const> ports) {
    (void)features, (void)ports;
    return {};
  }
  // The driver went away: the queues must not be touched any more.
  virtual void Stop() {}
  // Buffers may be available in queue `index`.
  virtual void OnKick(size_t index) { (void)index; }

  virtual base::Status StartExternal(uint64_t features, std::span<const ExternalQueue> queues) {
    (void)features, (void)queues;
    return {};
  }
  // Stops the queues; `queues[i].config.next_available` says then where each was.
  virtual base::Status StopExternal(std::span<ExternalQueue> queues) {
    (void)queues;
    return {};
  }
};

}  // namespace holt::vmm
