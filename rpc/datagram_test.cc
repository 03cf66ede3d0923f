#include "rpc/datagram.h"

#include <gtest/gtest.h>

namespace holt::rpc {
namespace {

TEST(DatagramTest, ComesBackWhenItIsWhole) {
  for (size_t size : {size_t{0}, size_t{1}, size_t{255}, size_t{256}, kMaxDatagram}) {
    const std::string datagram(size, 'x');
    const std::string framed = FrameDatagram(datagram);
    ASSERT_EQ(framed.size(), size + 2);
    EXPECT_EQ(TakeDatagram(framed), datagram);
    EXPECT_EQ(TakeDatagram(framed + "more"), datagram);
    EXPECT_EQ(TakeDatagram(framed.substr(0, framed.size() - 1)), std::nullopt) << size;
  }
  EXPECT_EQ(TakeDatagram(""), std::nullopt);
  EXPECT_EQ(FrameDatagram(std::string(258, 'x')).substr(0, 2), "\1\2");
}

}  // namespace
}  // namespace holt::rpc
