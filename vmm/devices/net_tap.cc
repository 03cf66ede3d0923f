#include <limits.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "vmm/devices/net_end.h"

namespace holt::vmm {
namespace {

using base::Result;
using base::Status;
using net::Header;

Status SetTapOffloads(int tap, unsigned offloads) {
  if (ioctl(tap, TUNSETOFFLOAD, static_cast<unsigned long>(offloads)) != 0)
    return HOLT_ERRNO("set the tap's offloads");
  return {};
}

class TapEnd : public NetEnd {
 public:
  TapEnd(base::UniqueFd tap, SetOffloads set_offloads)
      : tap_(std::move(tap)), set_offloads_(std::move(set_offloads)) {}

  int fd() const override { return tap_.get(); }
  uint64_t Features() const override { return net::kOffloadFeatures; }
  Status SetFeatures(uint64_t features) override {
    return set_offloads_(tap_.get(), net::TapOffloads(features));
  }

  Status SetActive(bool active) override {
    ifreq request{};
    request.ifr_flags = active ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE;
    if (active_ == active || ioctl(tap_.get(), TUNSETQUEUE, &request) == 0) {
      active_ = active;
      return {};
    }
    return HOLT_ERRNO("{} a queue of the tap", active ? "attach" : "detach");
  }

  Result<uint32_t> Read(Header& header, std::span<std::byte> frame) override {
    iovec parts[] = {{&header, sizeof header}, {frame.data(), frame.size()}};
    const ssize_t got = readv(tap_.get(), parts, 2);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (got < 0) return HOLT_ERRNO("read");
    return static_cast<uint32_t>(std::max<ssize_t>(got - ssize_t{sizeof header}, 0));
  }

  // A tap that cannot take it now, or is down, loses it.
  Sent Write(Header& header, std::span<iovec> parts, uint32_t) override {
    if (parts.size() > IOV_MAX) return Sent::kLost;
    parts[0] = {&header, sizeof header};
    return writev(tap_.get(), parts.data(), static_cast<int>(parts.size())) < 0 ? Sent::kLost
                                                                                : Sent::kSent;
  }

 private:
  base::UniqueFd tap_;
  SetOffloads set_offloads_;
  bool active_ = true;
};

}  // namespace

std::unique_ptr<NetEnd> MakeTapEnd(base::UniqueFd tap, SetOffloads set_offloads) {
  if (!set_offloads) set_offloads = SetTapOffloads;
  return std::make_unique<TapEnd>(std::move(tap), std::move(set_offloads));
}

}  // namespace holt::vmm
