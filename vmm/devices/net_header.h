#pragma once

#include <cstdint>

// The header before every frame of virtio-net (virtio 1.2, 5.1.6), which the host's tap speaks too.
// It tells the host's network stack where to write and how to cut a frame up: a guest's is checked
// before the tap sees it.
namespace holt::vmm::net {

// As VERSION_1 has it: num_buffers is always there. (linux/virtio_net.h is no C++.)
struct Header {
  uint8_t flags;
  uint8_t gso_type;
  uint16_t hdr_len;   // Ethernet, IP and TCP headers together
  uint16_t gso_size;  // payload of a segment
  uint16_t csum_start;
  uint16_t csum_offset;
  uint16_t num_buffers;
};
static_assert(sizeof(Header) == 12);

inline constexpr uint8_t kNeedsChecksum = 1;
inline constexpr uint8_t kChecksumValid = 2;

inline constexpr uint8_t kSegmentsNone = 0;
inline constexpr uint8_t kSegmentsTcp4 = 1;
inline constexpr uint8_t kSegmentsUdp = 3;
inline constexpr uint8_t kSegmentsTcp6 = 4;
inline constexpr uint8_t kSegmentsUdpL4 = 5;
inline constexpr uint8_t kSegmentsEcn = 0x80;  // added to a TCP one

// Feature bits (5.1.3). The host's: what the guest may ask of us.
inline constexpr uint64_t kHostChecksum = 1ull << 0;
inline constexpr uint64_t kGuestChecksum = 1ull << 1;
inline constexpr uint64_t kMtu = 1ull << 3;
inline constexpr uint64_t kMac = 1ull << 5;
inline constexpr uint64_t kGuestTso4 = 1ull << 7;
inline constexpr uint64_t kGuestTso6 = 1ull << 8;
inline constexpr uint64_t kHostTso4 = 1ull << 11;
inline constexpr uint64_t kHostTso6 = 1ull << 12;
inline constexpr uint64_t kMergeableBuffers = 1ull << 15;
inline constexpr uint64_t kStatus = 1ull << 16;
inline constexpr uint64_t kControlQueue = 1ull << 17;
inline constexpr uint64_t kMultiQueue = 1ull << 22;

// The configuration space (5.1.4), as far as it is offered.
struct Config {
  uint8_t mac[6];
  uint16_t status;
  uint16_t max_queue_pairs;
  uint16_t mtu;
};
static_assert(sizeof(Config) == 12);
inline constexpr uint16_t kLinkUp = 1;

// A command on the control queue (5.1.6.5); an acknowledgement of one byte follows it.
struct Control {
  uint8_t command_class;
  uint8_t command;
};
inline constexpr uint8_t kControlMultiQueue = 4;
inline constexpr uint8_t kControlSetPairs = 0;  // with a le16: how many
inline constexpr uint8_t kControlOk = 0;
inline constexpr uint8_t kControlError = 1;

// What the device offers, given a tap that can do it all.
inline constexpr uint64_t kOffloadFeatures = kHostChecksum | kGuestChecksum | kHostTso4 |
                                             kHostTso6 | kGuestTso4 | kGuestTso6 |
                                             kMergeableBuffers;

inline constexpr uint32_t kEthernetHeader = 14;
// The largest IP packet, an Ethernet header and a VLAN tag.
inline constexpr uint32_t kMaxFrame = 65535 + kEthernetHeader + 4;
// The smallest segment Linux itself makes (TCP_MIN_GSO_SIZE): a smaller one only costs the host
// time, up to 65,535 packets for a single frame.
inline constexpr uint16_t kMinSegment = 8;

// Checks the guest's header of a frame of `frame_bytes` (kEthernetHeader to kMaxFrame) against what
// was negotiated, and rewrites in it what the host does not need the guest's word for: unknown
// flags, num_buffers, the length of the headers. False: the frame is to be dropped.
bool CheckTransmit(uint64_t features, uint32_t frame_bytes, Header& header);

// Whether the guest negotiated what the header asks of it. A tap's queue may hold frames from
// before a reset.
bool MayReceive(uint64_t features, const Header& header);

// What TUNSETOFFLOAD is given for a guest with `features` (TUN_F_…).
unsigned TapOffloads(uint64_t features);

}  // namespace holt::vmm::net
