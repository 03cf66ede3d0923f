#include "guest-agent/net/counters.h"

#include <gmock/gmock.h>

namespace holt::guest_agent {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(CountersTest, NetDev) {
  EXPECT_THAT(
      ParseNetDev("Inter-|   Receive                                                |  Transmit\n"
                  " face |bytes    packets errs drop fifo frame compressed multicast|bytes\n"
                  "    lo:    1000      10    0    0    0     0          0         0     1000\n"
                  "  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"),
      ElementsAre(InterfaceCounters{"eth0", 1, 2, 3, 4, 9, 10, 11, 12}));
}

TEST(CountersTest, NonsenseDoesNoHarm) {
  EXPECT_THAT(ParseNetDev(""), IsEmpty());
  EXPECT_THAT(ParseNetDev(":"), IsEmpty());
  EXPECT_THAT(ParseNetDev("  x: a b\n"), ElementsAre(InterfaceCounters{"x"}));
}

}  // namespace
}  // namespace holt::guest_agent
