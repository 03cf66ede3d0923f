#pragma once

#include <sys/uio.h>

#include <functional>
#include <memory>
#include <span>

#include "base/result.h"
#include "base/unique_fd.h"
#include "vmm/devices/net_header.h"

namespace holt::vmm {

// Where the frames of a network device go to and come from. Nonblocking; one loop.
class NetEnd {
 public:
  virtual ~NetEnd() = default;

  // To be watched: readable when a frame may be there, writable after kFull.
  virtual int fd() const = 0;
  // What of net::kOffloadFeatures it can do.
  virtual uint64_t Features() const = 0;
  // What the guest negotiated of them.
  virtual base::Status SetFeatures(uint64_t features) = 0;

  // One queue of several to the same network: whether frames come here.
  virtual base::Status SetActive(bool active) {
    (void)active;
    return {};
  }

  // Reads one frame into `frame` (of net::kMaxFrame bytes); its size, 0 when there is none now. An
  // error: there will be none any more. Frames may be waiting here while fd() is not readable.
  virtual base::Result<uint32_t> Read(net::Header& header, std::span<std::byte> frame) = 0;

  enum class Sent {
    kSent,
    kLost,  // as on a wire
    kFull,  // not taken: again when fd() is writable
  };
  // Writes one frame: parts[1] and on; parts[0] is the end's own to use.
  virtual Sent Write(net::Header& header, std::span<iovec> parts, uint32_t bytes) = 0;
};

// A tap with IFF_NO_PI, IFF_VNET_HDR and headers of sizeof(net::Header) (TUNSETVNETHDRSZ).
// `set_offloads` tells it what the guest takes (TUN_F_…); empty: TUNSETOFFLOAD.
using SetOffloads = std::function<base::Status(int tap, unsigned offloads)>;
std::unique_ptr<NetEnd> MakeTapEnd(base::UniqueFd tap, SetOffloads set_offloads = {});

// A stream socket on which each frame follows its length, four bytes in network order, and nothing
// says what is left to be done to it: passt's, and QEMU's `-netdev stream`.
std::unique_ptr<NetEnd> MakeStreamEnd(base::UniqueFd socket);

}  // namespace holt::vmm
