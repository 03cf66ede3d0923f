#include "shim/network/tap.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstring>

#include "base/file.h"

namespace holt::shim::network {
namespace {

// Of a virtio-net header under VERSION_1 (vmm/devices/net_header.h).
constexpr int kHeaderBytes = 12;

base::Result<int> IndexOf(const char* name) {
  base::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return HOLT_ERRNO("socket");
  ifreq request{};
  std::snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  if (ioctl(socket.get(), SIOCGIFINDEX, &request) != 0) return HOLT_ERRNO("{}: number", name);
  return request.ifr_ifindex;
}

// `name` is what it is to be called, or a template, and then what it is called.
base::Result<base::UniqueFd> OpenQueue(std::string& name, bool several) {
  TRY_ASSIGN_CONTEXT(base::UniqueFd fd, base::Open("/dev/net/tun", O_RDWR | O_NONBLOCK),
                     "a network device needs the host's module tun");
  ifreq request{};
  request.ifr_flags =
      static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (several ? IFF_MULTI_QUEUE : 0));
  std::snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name.c_str());
  if (ioctl(fd.get(), TUNSETIFF, &request) != 0) return HOLT_ERRNO("make a tap");
  int bytes = kHeaderBytes;
  if (ioctl(fd.get(), TUNSETVNETHDRSZ, &bytes) != 0) return HOLT_ERRNO("the tap's headers");
  name.assign(request.ifr_name, strnlen(request.ifr_name, sizeof request.ifr_name));
  return fd;
}

}  // namespace

base::Result<Tap> MakeTap(size_t queues) {
  Tap tap;
  tap.name = fmt::format("{}%d", kTapPrefix);
  while (tap.queues.size() < queues) {
    TRY_ASSIGN(base::UniqueFd queue, OpenQueue(tap.name, queues > 1));
    tap.queues.push_back(std::move(queue));
  }
  TRY_ASSIGN(tap.index, IndexOf(tap.name.c_str()));
  return tap;
}

}  // namespace holt::shim::network
