// A kernel that answers anything.
#include <linux/rtnetlink.h>

#include "base/netlink.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holt::base;
  std::vector<NetlinkMessage> messages;
  bool done = false;
  bool interrupted = false;
  (void)ParseNetlinkDatagram(std::as_bytes(std::span(data, size)), 1, messages, done, interrupted);
  for (const NetlinkMessage& message : messages) {
    (void)message.Header<ifinfomsg>();
    auto attributes = message.Attributes<rtmsg>();
    if (!attributes) continue;
    for (uint16_t type = 0; type < 32; ++type) {
      (void)attributes->String(type);
      (void)attributes->Value<uint32_t>(type);
      (void)NetlinkAttributes::Parse(attributes->Raw(type));
    }
  }
  return 0;
}
