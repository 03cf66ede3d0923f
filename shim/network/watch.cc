#include "shim/network/watch.h"

#include <linux/rtnetlink.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/netlink.h"
#include "shim/network/namespace.h"

namespace holt::shim::network {
namespace {

using base::Result;
using base::Status;
using base::UniqueFd;

constexpr uint32_t kGroups = RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE |
                             RTMGRP_IPV4_RULE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE |
                             1u << (RTNLGRP_IPV6_RULE - 1);
// More than fit the socket's buffer are not waiting; more than this may come while it is emptied.
constexpr int kMaxNotices = 4096;
constexpr int kShare = 10;

// What arrived until now. One notice that was lost (ENOBUFS) is as good as one that was not.
void ThrowAway(int socket) {
  char byte;
  for (int i = 0; i < kMaxNotices; ++i)
    if (recv(socket, &byte, sizeof byte, MSG_DONTWAIT) < 0 && errno != ENOBUFS && errno != EINTR)
      return;
}

}  // namespace

Result<std::unique_ptr<Watch>> Watch::Create(base::EventLoop& loop, int network_namespace,
                                             OnChange on_change) {
  UniqueFd socket;
  TRY(RunInNamespace(network_namespace, [&socket]() -> Status {
    TRY_ASSIGN(socket, base::NetlinkSocket::Subscribe(kGroups));
    return {};
  }));
  std::unique_ptr<Watch> watch(new Watch(loop, std::move(socket), std::move(on_change)));
  TRY(loop.AddFd(watch->socket_.get(), EPOLLIN,
                 [raw = watch.get()](uint32_t) { raw->OnNotice(); }));
  return watch;
}

Watch::~Watch() {
  if (timer_ != 0) loop_.CancelTimer(timer_);
  loop_.RemoveFd(socket_.get());
}

void Watch::OnNotice() {
  ThrowAway(socket_.get());
  // Deaf until then. A full buffer is reported as an error, whether one listens or not.
  loop_.RemoveFd(socket_.get());
  if (timer_ == 0) timer_ = loop_.AddTimer(pause_, [this] { OnTimer(); });
}

void Watch::OnTimer() {
  timer_ = 0;
  ThrowAway(socket_.get());
  // Fails for want of memory only, and then as much else does.
  (void)loop_.AddFd(socket_.get(), EPOLLIN, [this](uint32_t) { OnNotice(); });
  const auto began = base::EventLoop::Clock::now();
  on_change_();
  pause_ =
      std::max<std::chrono::nanoseconds>(kPause, kShare * (base::EventLoop::Clock::now() - began));
}

}  // namespace holt::shim::network
