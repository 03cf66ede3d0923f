#pragma once

#include <algorithm>
#include <cstdint>

// What virtio-blk's driver and device say to each other (virtio 1.2, 5.2). linux/virtio_blk.h has
// it too, with bit fields and legacy parts between.
namespace holt::vmm::blk {

inline constexpr uint32_t kType = 2;           // of virtio devices (5)
inline constexpr uint32_t kSectorBytes = 512;  // whatever the disk's own block is
inline constexpr uint32_t kIdBytes = 20;

// What a device of holt's is like; QEMU, in front of one, is told the same.
inline constexpr uint16_t kQueueSize = 256;
// QEMU's virtio-mmio lets the driver choose up to this, whatever QEMU was told.
inline constexpr uint16_t kMaxQueueSize = 1024;
inline constexpr uint32_t kMaxQueues = 4;
constexpr uint32_t QueuesFor(uint32_t vcpus) { return std::clamp<uint32_t>(vcpus, 1, kMaxQueues); }

// Feature bits (5.2.3).
inline constexpr uint64_t kSegMax = 1ull << 2;
inline constexpr uint64_t kReadOnly = 1ull << 5;
inline constexpr uint64_t kBlockSize = 1ull << 6;
inline constexpr uint64_t kFlush = 1ull << 9;
inline constexpr uint64_t kMultiQueue = 1ull << 12;
inline constexpr uint64_t kDiscard = 1ull << 13;
inline constexpr uint64_t kWriteZeroes = 1ull << 14;

// The configuration space (5.2.4).
struct __attribute__((packed)) Config {
  uint64_t capacity;  // sectors
  uint32_t size_max;
  uint32_t seg_max;
  uint8_t geometry[4];
  uint32_t block_size;
  uint8_t topology[8];
  uint8_t writeback;
  uint8_t unused0;
  uint16_t num_queues;
  uint32_t max_discard_sectors;
  uint32_t max_discard_segments;
  uint32_t discard_alignment;  // sectors
  uint32_t max_write_zeroes_sectors;
  uint32_t max_write_zeroes_segments;
  uint8_t write_zeroes_may_unmap;
  uint8_t unused1[3];
};
static_assert(sizeof(Config) == 60);

// Requests (5.2.6): this, data, and a status byte that ends the writable part.
struct Header {
  uint32_t type;
  uint32_t reserved;
  uint64_t sector;
};
static_assert(sizeof(Header) == 16);

inline constexpr uint32_t kIn = 0;  // from the disk to the guest
inline constexpr uint32_t kOut = 1;
inline constexpr uint32_t kFlushRequest = 4;
inline constexpr uint32_t kGetId = 8;
inline constexpr uint32_t kDiscardRequest = 11;
inline constexpr uint32_t kWriteZeroesRequest = 13;

// The data of kDiscardRequest and kWriteZeroesRequest.
struct Segment {
  uint64_t sector;
  uint32_t sectors;
  uint32_t flags;
};
static_assert(sizeof(Segment) == 16);
inline constexpr uint32_t kUnmap = 1;

enum class Status : uint8_t { kOk = 0, kIoError = 1, kUnsupported = 2 };

}  // namespace holt::vmm::blk
