#pragma once

#include <netinet/in.h>

#include <memory>
#include <set>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace holt::guest_agent {

// Docker's resolver for containers of this guest. It listens on 127.0.0.11 in the network namespace
// on the host, and the guest's 127.0.0.11 is the guest's own: so what is sent there goes over vsock
// to the monitor, which sends it on. ADR 106.
class Resolver {
 public:
  // For the containers below the cgroup directory `cgroup` that have this process's network
  // namespace.
  static base::Result<std::unique_ptr<Resolver>> Start(base::EventLoop& loop, int cgroup);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // Queries and connections on their way; more are dropped.
  static constexpr size_t kMaxAtOnce = 128;

 private:
  class Query;
  class Connection;
  explicit Resolver(base::EventLoop& loop) : loop_(loop) {}
  void OnDatagram();
  void OnConnection();

  base::EventLoop& loop_;
  base::UniqueFd udp_;
  base::UniqueFd tcp_;
  std::set<std::shared_ptr<Query>> queries_;
  // Of connections: they live on by themselves.
  std::shared_ptr<size_t> connections_ = std::make_shared<size_t>(0);
};

}  // namespace holt::guest_agent
