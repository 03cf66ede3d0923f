#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

// The vhost-user protocol (QEMU, docs/interop/vhost-user.rst): what front end and back end both
// need. Integers are in host order; both ends are on one machine.
namespace holt::vmm::vhost_user {

enum class Request : uint32_t {
  kGetFeatures = 1,
  kSetFeatures = 2,
  kSetOwner = 3,
  kResetOwner = 4,
  kSetMemTable = 5,
  kSetLogBase = 6,
  kSetLogFd = 7,
  kSetVringNum = 8,
  kSetVringAddr = 9,
  kSetVringBase = 10,
  kGetVringBase = 11,
  kSetVringKick = 12,
  kSetVringCall = 13,
  kSetVringErr = 14,
  kGetProtocolFeatures = 15,
  kSetProtocolFeatures = 16,
  kGetQueueNum = 17,
  kSetVringEnable = 18,
  kSetBackendRequestFd = 21,
  kGetConfig = 24,
  kSetConfig = 25,
  kResetDevice = 34,
  kGetMaxMemSlots = 36,
  kAddMemReg = 37,
  kRemMemReg = 38,
  kSetStatus = 39,
  kGetStatus = 40,
};

// What a back end asks for by itself, on the channel of kSetBackendRequestFd.
enum class BackendRequest : uint32_t {
  kConfigChange = 2,
};

// For log lines: "SET_MEM_TABLE", or "request 77".
std::string RequestName(uint32_t request);

// The feature bit that says "protocol features are spoken", among the virtio ones.
inline constexpr uint64_t kFeatureProtocolFeatures = 1ull << 30;

inline constexpr uint64_t kProtocolMultiQueue = 1ull << 0;
inline constexpr uint64_t kProtocolReplyAck = 1ull << 3;
inline constexpr uint64_t kProtocolBackendRequests = 1ull << 5;
inline constexpr uint64_t kProtocolConfig = 1ull << 9;
inline constexpr uint64_t kProtocolResetDevice = 1ull << 13;
inline constexpr uint64_t kProtocolConfigureMemSlots = 1ull << 15;

struct Header {
  uint32_t request;
  uint32_t flags;  // version in the low two bits
  uint32_t size;   // of the payload that follows
};
static_assert(sizeof(Header) == 12);

inline constexpr uint32_t kVersion = 1;
inline constexpr uint32_t kVersionMask = 3;
inline constexpr uint32_t kFlagReply = 1u << 2;
inline constexpr uint32_t kFlagNeedReply = 1u << 3;

struct VringState {
  uint32_t index;
  uint32_t number;
};

struct VringAddress {
  uint32_t index;
  uint32_t flags;
  uint64_t descriptors;  // these are addresses in the front end's process
  uint64_t used;
  uint64_t available;
  uint64_t log;
};

struct MemoryRegion {
  uint64_t guest_address;
  uint64_t size;
  uint64_t user_address;  // where the front end mapped it
  uint64_t mmap_offset;   // in the descriptor that came along
};

struct MemoryTableHeader {
  uint32_t count;
  uint32_t padding;
  // MemoryRegion regions[count]
};

// ADD_MEM_REG and REM_MEM_REG.
struct SingleRegion {
  uint64_t padding;
  MemoryRegion region;
};

struct ConfigHeader {
  uint32_t offset;
  uint32_t size;
  uint32_t flags;
  // uint8_t region[size]
};

inline constexpr size_t kMaxConfigBytes = 256;
// Regions of one SET_MEM_TABLE; with CONFIGURE_MEM_SLOTS they are added one by one up to kMaxSlots.
inline constexpr size_t kMaxTableRegions = 8;
inline constexpr size_t kMaxSlots = 32;
// The largest payload either side sends; a longer one is an error of the protocol.
inline constexpr size_t kMaxPayload = 4096;
inline constexpr size_t kMaxFds = kMaxTableRegions;

// In the u64 of SET_VRING_{KICK,CALL,ERR}: the ring's number, and "no descriptor comes along".
inline constexpr uint64_t kVringIndexMask = 0xff;
inline constexpr uint64_t kVringNoFd = 1u << 8;

struct Message {
  Header header{};
  std::string payload;
  std::vector<base::UniqueFd> fds;

  Request request() const { return static_cast<Request>(header.request); }

  // The payload as one T; an error unless its size is exactly that.
  template <typename T>
  base::Result<T> As() const {
    static_assert(std::is_trivially_copyable_v<T>);
    if (payload.size() != sizeof(T))
      return base::MakeError(base::Code::kInvalidArgument,
                             "vhost-user {}: payload of {} bytes, not {}",
                             RequestName(header.request), payload.size(), sizeof(T));
    T value;
    __builtin_memcpy(&value, payload.data(), sizeof value);
    return value;
  }
};

// Collects messages from a socket that may deliver them in pieces.
class MessageReader {
 public:
  explicit MessageReader(int socket) : socket_(socket) {}

  // Reads what is there. True: `message` is complete (call again for the next). False: more must
  // arrive. kUnavailable: the peer closed. Other errors: the stream makes no sense any more.
  base::Result<bool> Read(Message& message);

 private:
  int socket_;  // borrowed
  Message partial_;
  size_t header_bytes_ = 0;
  size_t payload_bytes_ = 0;
};

// Sends one message in one sendmsg.
base::Status SendMessage(int socket, uint32_t request, uint32_t flags, std::string_view payload,
                         std::span<const int> fds = {});

template <typename T>
std::string_view BytesOf(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

}  // namespace holt::vmm::vhost_user
