#include "vmm/devices/net_header.h"

#include <gtest/gtest.h>
#include <linux/if_tun.h>

namespace holt::vmm::net {
namespace {

constexpr uint64_t kAll = kOffloadFeatures;

Header Tso(uint8_t type) {
  Header header{};
  header.flags = kNeedsChecksum;
  header.gso_type = type;
  header.gso_size = 1448;
  header.csum_start = 34;
  header.csum_offset = 16;
  header.hdr_len = 54;
  return header;
}

bool Passes(Header header, uint32_t bytes = 4000, uint64_t features = kAll) {
  return CheckTransmit(features, bytes, header);
}

TEST(NetHeaderTest, WhatLinuxSendsPasses) {
  EXPECT_TRUE(Passes({}, kEthernetHeader, 0));
  EXPECT_TRUE(Passes(Tso(kSegmentsTcp4)));
  EXPECT_TRUE(Passes(Tso(kSegmentsTcp6)));
  Header checksum{};
  checksum.flags = kNeedsChecksum;
  checksum.csum_start = 34;
  checksum.csum_offset = 6;
  EXPECT_TRUE(Passes(checksum, 42));
}

TEST(NetHeaderTest, WhatWasNotNegotiatedDoesNot) {
  const Header tso = Tso(kSegmentsTcp4);
  EXPECT_FALSE(Passes(tso, 4000, kAll & ~kHostTso4));
  EXPECT_FALSE(Passes(tso, 4000, kAll & ~kHostChecksum));
  EXPECT_FALSE(Passes(Tso(kSegmentsTcp6), 4000, kAll & ~kHostTso6));
  // Never offered: UDP in both ways, ECN, and what does not exist.
  for (int type : {int{kSegmentsUdp}, int{kSegmentsUdpL4}, 2, 255, kSegmentsTcp4 | kSegmentsEcn})
    EXPECT_FALSE(Passes(Tso(static_cast<uint8_t>(type)), 4000, ~0ull)) << type;
}

TEST(NetHeaderTest, OffsetsStayInTheFrame) {
  Header header{};
  header.flags = kNeedsChecksum;
  header.csum_start = 34;
  header.csum_offset = 6;
  EXPECT_FALSE(Passes(header, 41));
  header.csum_start = 13;
  EXPECT_FALSE(Passes(header)) << "in the Ethernet header";
  header.csum_start = 0xffff;
  header.csum_offset = 0xffff;
  EXPECT_FALSE(Passes(header, kMaxFrame)) << "the sum does not wrap around";

  Header tso = Tso(kSegmentsTcp4);
  EXPECT_TRUE(Passes(tso, 54));
  EXPECT_FALSE(Passes(tso, 53)) << "no room for a TCP header";
  tso.gso_size = kMinSegment - 1;
  EXPECT_FALSE(Passes(tso)) << "a frame of 65,535 packets";
  tso.gso_size = 1448;
  tso.flags = 0;
  EXPECT_FALSE(Passes(tso)) << "segments without checksums";
}

TEST(NetHeaderTest, WhatTheHostNeedsNotBelieveIsRewritten) {
  Header header = Tso(kSegmentsTcp4);
  header.flags |= kChecksumValid | 0x80;
  header.hdr_len = 0xffff;
  header.num_buffers = 77;
  ASSERT_TRUE(CheckTransmit(kAll, 4000, header));
  EXPECT_EQ(header.flags, kNeedsChecksum);
  EXPECT_EQ(header.hdr_len, 54);
  EXPECT_EQ(header.num_buffers, 0);

  Header plain{};
  plain.csum_start = plain.csum_offset = plain.gso_size = plain.hdr_len = 0xffff;
  ASSERT_TRUE(CheckTransmit(kAll, 60, plain));
  EXPECT_EQ(plain.csum_start, 0);
  EXPECT_EQ(plain.gso_size, 0);
  EXPECT_EQ(plain.hdr_len, 0);
}

TEST(NetHeaderTest, TheGuestGetsWhatItAskedFor) {
  EXPECT_EQ(TapOffloads(kAll), unsigned{TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6});
  EXPECT_EQ(TapOffloads(kGuestChecksum), unsigned{TUN_F_CSUM});
  EXPECT_EQ(TapOffloads(kAll & ~kGuestChecksum), 0u);
  const Header tso = Tso(kSegmentsTcp6);
  EXPECT_TRUE(MayReceive(kAll, tso));
  EXPECT_FALSE(MayReceive(kAll & ~kGuestTso6, tso));
  EXPECT_FALSE(MayReceive(kAll & ~kGuestChecksum, tso));
  EXPECT_TRUE(MayReceive(0, {}));
}

}  // namespace
}  // namespace holt::vmm::net
