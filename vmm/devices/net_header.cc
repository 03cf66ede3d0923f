#include "vmm/devices/net_header.h"

#include <linux/if_tun.h>

#include <algorithm>

namespace holt::vmm::net {
namespace {

// A TCP header without options: what the kernel wants in one piece before it cuts a frame up.
constexpr uint32_t kTcpHeader = 20;

// The feature without which a frame must not be of this kind; 0 for kinds that are never offered.
uint64_t SegmentFeature(uint8_t gso_type, uint64_t tso4, uint64_t tso6) {
  if (gso_type == kSegmentsTcp4) return tso4;
  if (gso_type == kSegmentsTcp6) return tso6;
  return 0;
}

}  // namespace

bool CheckTransmit(uint64_t features, uint32_t frame_bytes, Header& header) {
  Header clean{};
  if ((header.flags & kNeedsChecksum) != 0) {
    if ((features & kHostChecksum) == 0) return false;
    const uint32_t end = uint32_t{header.csum_start} + header.csum_offset + sizeof(uint16_t);
    if (header.csum_start < kEthernetHeader || end > frame_bytes) return false;
    clean.flags = kNeedsChecksum;
    clean.csum_start = header.csum_start;
    clean.csum_offset = header.csum_offset;
  }
  if (header.gso_type != kSegmentsNone) {
    const uint64_t feature = SegmentFeature(header.gso_type, kHostTso4, kHostTso6);
    // 5.1.6.2: a frame to be cut up needs its checksums too.
    if ((features & feature) == 0 || clean.flags == 0) return false;
    if (header.gso_size < kMinSegment) return false;
    const uint32_t headers = uint32_t{header.csum_start} + kTcpHeader;
    if (headers > frame_bytes) return false;
    clean.gso_type = header.gso_type;
    clean.gso_size = header.gso_size;
    // A hint of the guest's (5.1.6.2.2); below 2^16 because csum_start and kTcpHeader say so.
    clean.hdr_len = static_cast<uint16_t>(std::min<uint32_t>(headers, UINT16_MAX));
  }
  header = clean;
  return true;
}

bool MayReceive(uint64_t features, const Header& header) {
  if ((header.flags & kNeedsChecksum) != 0 && (features & kGuestChecksum) == 0) return false;
  if (header.gso_type == kSegmentsNone) return true;
  return (features & SegmentFeature(header.gso_type, kGuestTso4, kGuestTso6)) != 0;
}

unsigned TapOffloads(uint64_t features) {
  // 5.1.3.1: segments need checksums.
  if ((features & kGuestChecksum) == 0) return 0;
  unsigned offloads = TUN_F_CSUM;
  if ((features & kGuestTso4) != 0) offloads |= TUN_F_TSO4;
  if ((features & kGuestTso6) != 0) offloads |= TUN_F_TSO6;
  return offloads;
}

}  // namespace holt::vmm::net
