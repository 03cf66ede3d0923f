#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "vmm/devices/bus.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/virtio/device.h"

namespace holt::vmm {

// Registers of virtio-mmio, version 2 (virtio 1.2, 4.2.2).
enum class MmioRegister : uint32_t {
  kMagic = 0x000,
  kVersion = 0x004,
  kDeviceId = 0x008,
  kVendorId = 0x00c,
  kDeviceFeatures = 0x010,
  kDeviceFeaturesSelect = 0x014,
  kDriverFeatures = 0x020,
  kDriverFeaturesSelect = 0x024,
  kQueueSelect = 0x030,
  kQueueSizeMax = 0x034,
  kQueueSize = 0x038,
  kQueueReady = 0x044,
  kQueueNotify = 0x050,
  kInterruptStatus = 0x060,
  kInterruptAck = 0x064,
  kStatus = 0x070,
  kQueueDescriptorsLow = 0x080,
  kQueueDescriptorsHigh = 0x084,
  kQueueDriverLow = 0x090,
  kQueueDriverHigh = 0x094,
  kQueueDeviceLow = 0x0a0,
  kQueueDeviceHigh = 0x0a4,
  kSharedMemoryLengthLow = 0x0b0,
  kSharedMemoryLengthHigh = 0x0b4,
  kSharedMemoryBaseLow = 0x0b8,
  kSharedMemoryBaseHigh = 0x0bc,
  kConfigGeneration = 0x0fc,
  kConfig = 0x100,
};
inline constexpr uint64_t kMmioBytes = 0x200;

// Device status bits (2.1).
inline constexpr uint32_t kStatusAcknowledge = 1;
inline constexpr uint32_t kStatusDriver = 2;
inline constexpr uint32_t kStatusDriverOk = 4;
inline constexpr uint32_t kStatusFeaturesOk = 8;
inline constexpr uint32_t kStatusNeedsReset = 64;
inline constexpr uint32_t kStatusFailed = 128;

// Bits of kInterruptStatus.
inline constexpr uint32_t kInterruptUsedBuffer = 1;
inline constexpr uint32_t kInterruptConfigChange = 2;

// All that the driver has said, and all that it is told: what a snapshot of the transport holds.
struct MmioState {
  struct QueueRegisters {
    uint32_t size = 0;
    bool ready = false;
    uint64_t descriptors = 0;
    uint64_t driver = 0;
    uint64_t device = 0;
  };
  uint32_t status = 0;
  uint32_t device_features_select = 0;
  uint32_t driver_features_select = 0;
  uint64_t driver_features = 0;
  uint32_t queue_select = 0;
  std::vector<QueueRegisters> queues;
};

// Carries one device over memory-mapped registers, an interrupt (an eventfd, for irqfd) and a kick
// per queue (eventfds, for ioeventfd).
//
// Registers are served on the vCPU threads, under a lock; the device runs in its loop. What starts
// or stops the device is done in the loop while the vCPU waits.
//
// What a driver may not do has no effect: features only between DRIVER and FEATURES_OK; queue
// registers only before DRIVER_OK and while the queue is not ready; a status that takes bits back.
class MmioTransport : public BusDevice {
 public:
  struct Options {
    base::EventLoop* loop = nullptr;
    std::shared_ptr<const GuestMemory> memory;
    std::unique_ptr<VirtioDevice> device;
    // Runs its argument in the loop and returns when it has run, or when it never will because the
    // machine ends. Called from vCPU threads.
    std::function<void(const std::function<void()>&)> run_in_loop;
    // The device's other end failed: the machine cannot go on. In the loop.
    std::function<void(const base::Error&)> on_failed;
  };
  static base::Result<std::unique_ptr<MmioTransport>> Create(Options options);
  ~MmioTransport() override;
  MmioTransport(const MmioTransport&) = delete;
  MmioTransport& operator=(const MmioTransport&) = delete;

  void Read(uint64_t offset, std::span<std::byte> out) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;

  // Borrowed. Written to when the driver is to be interrupted.
  int interrupt_fd() const { return interrupt_.get(); }
  // Borrowed. One for each queue, written to when the driver kicks.
  int kick_fd(size_t queue) const { return kicks_[queue].get(); }
  size_t queue_count() const { return kicks_.size(); }
  VirtioDevice& device() { return *options_.device; }

  // In the loop: serves what the driver has made available, kicked or not.
  void ServeQueues();

  // In the loop: runs `change`, which changes the device's configuration space, and tells the
  // driver, now or when it starts.
  void ChangeConfig(const std::function<void()>& change);

  // In the loop, with no vCPU running.
  MmioState Save() const;

 private:
  class Port;

  explicit MmioTransport(Options options);
  // The rest of a register's work, with mutex_ held.
  uint32_t ReadRegister(MmioRegister name) const;
  void WriteRegister(MmioRegister name, uint32_t value);
  void WriteQueueRegister(MmioRegister name, uint32_t value);
  void SetQueueReady(MmioState::QueueRegisters& queue, uint32_t value);
  void WriteStatus(uint32_t value);

  // In the loop.
  void ChangeStatusInLoop(uint32_t value);
  base::Status StartDevice();
  base::Status StartOwnQueues();
  base::Status StartExternalQueues();
  void StopDevice();
  void OnKickEvent(size_t queue);

  void Interrupt(uint32_t cause);
  // The driver or the device is beyond help until the next reset.
  void NeedsReset(const base::Error& why);

  Options options_;
  uint64_t device_features_ = 0;
  std::vector<uint16_t> queue_sizes_;
  base::UniqueFd interrupt_;
  std::vector<base::UniqueFd> kicks_;
  std::vector<std::unique_ptr<Port>> ports_;

  mutable std::mutex mutex_;
  MmioState state_;  // guarded by mutex_
  std::atomic<uint32_t> interrupt_status_{0};
  std::atomic<bool> needs_reset_{false};
  // Odd while the configuration space changes: it is read on vCPU threads meanwhile.
  std::atomic<uint32_t> config_generation_{0};

  // In the loop only.
  bool running_ = false;
  bool config_changed_ = false;  // and the driver was not running
  std::vector<ExternalQueue> external_;
};

}  // namespace holt::vmm
