#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "vmm/memory/guest_memory.h"

// The device's side of a split virtqueue (virtio 1.2, section 2.7), used by the devices of holt-vmm
// and, over vhost-user, by holt-fsd.
namespace holt::vmm {

// Feature bits a queue knows (virtio 1.2, section 6).
inline constexpr uint64_t kFeatureIndirectDesc = 1ull << 28;
inline constexpr uint64_t kFeatureEventIdx = 1ull << 29;
inline constexpr uint64_t kFeatureVersion1 = 1ull << 32;

// One request: its buffers, validated, in order. Keeps the memory it points to.
struct DescriptorChain {
  uint16_t head = 0;
  std::vector<GuestSlice> readable;  // what the driver wrote for the device
  std::vector<GuestSlice> writable;  // where the device answers
  uint32_t readable_bytes = 0;
  uint32_t writable_bytes = 0;
  std::shared_ptr<const GuestMemory> memory;

  void Clear();
};

// Reads a chain's readable part from its start, each byte once.
class ChainReader {
 public:
  explicit ChainReader(const DescriptorChain& chain)
      : slices_(chain.readable), left_(chain.readable_bytes) {}

  uint32_t left() const { return left_; }
  // False, and nothing consumed, when fewer bytes are left.
  bool Read(std::span<std::byte> destination);
  template <typename T>
  bool Read(T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    return Read(std::as_writable_bytes(std::span(&value, 1)));
  }
  bool Skip(uint32_t bytes);
  // Forgets what lies beyond the next `bytes`.
  void Truncate(uint32_t bytes) { left_ = bytes < left_ ? bytes : left_; }
  // The next min(bytes, left()) bytes, consumed, as iovecs appended to `out`; returns how many
  // bytes.
  uint32_t TakeIovecs(uint32_t bytes, std::vector<iovec>& out);

 private:
  std::span<const GuestSlice> slices_;
  size_t index_ = 0;
  size_t offset_ = 0;  // in slices_[index_]
  uint32_t left_;
};

// Writes a chain's writable part from its start.
class ChainWriter {
 public:
  explicit ChainWriter(const DescriptorChain& chain)
      : slices_(chain.writable), left_(chain.writable_bytes) {}

  uint32_t left() const { return left_; }
  // Bytes written or taken so far: what Queue::Push wants.
  uint32_t written() const { return written_; }
  // False, and nothing written, when less room is left.
  bool Write(std::span<const std::byte> source);
  template <typename T>
  bool Write(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    return Write(std::as_bytes(std::span(&value, 1)));
  }
  // The next min(bytes, left()) bytes of room as iovecs appended to `out`; returns how many bytes.
  // They count as written.
  uint32_t TakeIovecs(uint32_t bytes, std::vector<iovec>& out);
  // A writer of `bytes` from here (a header whose values are known later); this one goes on after
  // it. Nothing when less room is left.
  std::optional<ChainWriter> Split(uint32_t bytes);

 private:
  ChainWriter(std::span<const GuestSlice> slices, size_t index, size_t offset, uint32_t left)
      : slices_(slices), index_(index), offset_(offset), left_(left) {}
  bool Advance(uint32_t bytes);

  std::span<const GuestSlice> slices_;
  size_t index_ = 0;
  size_t offset_ = 0;
  uint32_t left_;
  uint32_t written_ = 0;
};

// Where a queue is and how it is spoken to; fixed from Start() to Stop().
struct QueueConfig {
  uint16_t size = 0;
  GuestAddr descriptors;
  GuestAddr available;     // the driver area
  GuestAddr used;          // the device area
  bool indirect = false;   // INDIRECT_DESC was negotiated
  bool event_idx = false;  // EVENT_IDX was negotiated
  uint16_t next_available = 0;
  // Nothing: taken from the ring's used index (vhost-user does not send it).
  std::optional<uint16_t> next_used = 0;
};

// What a queue must remember to go on elsewhere.
struct QueueState {
  bool running = false;
  QueueConfig config;
};

// Not thread-safe: one owner. Everything the driver can get wrong is an error of Pop(), after which
// the queue is broken and only Stop() helps; nothing it can write makes us touch other memory.
class Queue {
 public:
  // `max_size` is what the device offers, a power of two up to 32768.
  explicit Queue(uint16_t max_size) : max_size_(max_size) {}

  uint16_t max_size() const { return max_size_; }
  bool running() const { return running_; }
  bool broken() const { return broken_; }
  const QueueConfig& config() const { return config_; }

  // Validates the configuration and freezes it. An error leaves the queue stopped.
  base::Status Start(std::shared_ptr<const GuestMemory> memory, const QueueConfig& config);
  void Stop();

  // Takes the next available chain into `chain` (whose vectors are reused). False: none is
  // available.
  base::Result<bool> Pop(DescriptorChain& chain);
  // Puts the chain popped last back, as if it had not been popped.
  void UndoPop(const DescriptorChain& chain);
  // Returns a chain to the driver with the number of bytes written to it. Any order.
  void Push(uint16_t head, uint32_t written);
  void Push(const DescriptorChain& chain, uint32_t written) { Push(chain.head, written); }
  // Returns several at once: the driver sees all of them or none.
  struct Returned {
    uint16_t head = 0;
    uint32_t written = 0;
  };
  void PushTogether(std::span<const Returned> chains);

  // Whether the driver wants an interrupt for what was pushed since the last call.
  bool NeedsNotify();

  // Asks the driver not to kick while the device polls. A hint.
  void DisableNotifications();
  // Asks for kicks again. True: something became available meanwhile, so Pop() again.
  bool EnableNotifications();

  // Chains popped and not pushed yet.
  uint16_t in_flight() const { return in_flight_count_; }
  uint16_t next_available() const { return next_available_; }

  // Meaningful while nothing is in flight.
  QueueState Save() const;
  base::Status Restore(std::shared_ptr<const GuestMemory> memory, const QueueState& state);

  // Descriptors in one chain, indirect ones included (a driver may not exceed the queue's size, but
  // Linux does in indirect tables).
  static constexpr uint32_t kMaxChainDescriptors = 1024;

 private:
  struct Descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
  };
  static_assert(sizeof(Descriptor) == 16);

  base::Error Broken(base::Error error);
  void WriteUsed(const Returned& returned);
  void PublishUsed();
  base::Status Collect(uint16_t head, DescriptorChain& chain);
  base::Status CollectIndirect(const Descriptor& table, uint32_t& count, DescriptorChain& chain);
  base::Status AddBuffer(const Descriptor& descriptor, DescriptorChain& chain);

  const uint16_t max_size_;
  bool running_ = false;
  bool broken_ = false;
  std::shared_ptr<const GuestMemory> memory_;
  QueueConfig config_;
  GuestSlice descriptors_;
  GuestSlice available_;
  GuestSlice used_;
  uint16_t next_available_ = 0;
  uint16_t next_used_ = 0;
  // The used index the driver was last told of; nothing before the first time.
  std::optional<uint16_t> notified_used_;
  bool pushed_since_notify_ = false;
  std::vector<bool> in_flight_;
  uint16_t in_flight_count_ = 0;
};

}  // namespace holt::vmm
