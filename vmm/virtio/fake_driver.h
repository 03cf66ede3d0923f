#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/virtio/queue.h"

// The driver's side of a virtqueue, for tests: real rings in real guest memory, and as many ways to
// get them wrong as a hostile guest has.
namespace holt::vmm {

// Memory from address 0, in one region.
std::shared_ptr<const GuestMemory> MakeTestMemory(uint64_t bytes);

class FakeDriver {
 public:
  struct Buffer {
    uint64_t address = 0;
    uint32_t length = 0;
    bool write = false;
  };
  struct Used {
    uint32_t id;
    uint32_t length;
  };

  // Lays the rings out from `base` (a page boundary); they take RingBytes().
  FakeDriver(std::shared_ptr<const GuestMemory> memory, uint16_t size, uint64_t base);

  // What the device's Queue is started with.
  QueueConfig Config(bool indirect = false, bool event_idx = false) const;
  static uint64_t RingBytes(uint16_t size) {
    return (16ull * size + 6 + 2ull * size + 6 + 8ull * size + 4095) & ~4095ull;
  }

  // Raw writes, nothing checked.
  void WriteDescriptor(uint16_t index, uint64_t address, uint32_t length, uint16_t flags,
                       uint16_t next);
  void SetAvailableIndex(uint16_t index);
  void SetAvailableSlot(uint16_t slot, uint16_t head);
  void SetAvailableFlags(uint16_t flags);
  void SetUsedEvent(uint16_t index);
  uint16_t UsedIndex() const;
  uint16_t UsedFlags() const;
  uint16_t AvailableEvent() const;

  // Chains `buffers` over free descriptors from `first` on and makes them available.
  void Offer(uint16_t first, std::span<const Buffer> buffers);
  // One descriptor `head` naming an indirect table written at `table`.
  void OfferIndirect(uint16_t head, uint64_t table, std::span<const Buffer> buffers);
  // Makes `head` available, whatever it is.
  void OfferHead(uint16_t head);

  // What the device returned since the last call.
  std::vector<Used> TakeUsed();

  void WriteBytes(uint64_t address, std::string_view bytes);
  std::string ReadBytes(uint64_t address, size_t bytes) const;
  const std::shared_ptr<const GuestMemory>& memory() const { return memory_; }

 private:
  std::shared_ptr<const GuestMemory> memory_;
  uint16_t size_;
  uint64_t descriptors_;
  uint64_t available_;
  uint64_t used_;
  uint16_t available_index_ = 0;
  uint16_t seen_used_ = 0;
};

}  // namespace holt::vmm
