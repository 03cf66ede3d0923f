#pragma once

#include <cstdint>

// The packets of virtio-vsock (virtio 1.2, section 5.10; linux/virtio_vsock.h).
namespace holt::vmm::vsock {

// Not aligned in the rings of a driver that packs it, hence 44 bytes and not 48.
struct __attribute__((packed)) Header {
  uint64_t source_cid;
  uint64_t destination_cid;
  uint32_t source_port;
  uint32_t destination_port;
  uint32_t length;
  uint16_t type;
  uint16_t operation;
  uint32_t flags;
  uint32_t buffer_bytes;     // buf_alloc: what the sender can take for this stream altogether
  uint32_t forwarded_bytes;  // fwd_cnt: what it passed on so far
};
static_assert(sizeof(Header) == 44);

inline constexpr uint64_t kHostCid = 2;
inline constexpr uint16_t kTypeStream = 1;

enum Operation : uint16_t {
  kRequest = 1,
  kResponse = 2,
  kReset = 3,
  kShutdown = 4,
  kData = 5,
  kCreditUpdate = 6,
  kCreditRequest = 7,
};

// Flags of kShutdown: the sender will receive, or send, no more.
inline constexpr uint32_t kShutdownReceive = 1;
inline constexpr uint32_t kShutdownSend = 2;

}  // namespace holt::vmm::vsock
