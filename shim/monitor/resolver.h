#pragma once

#include <memory>
#include <set>
#include <string>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "oci/runtime_spec.h"

namespace holt::shim {

// Docker's resolver for the container: Docker listens on 127.0.0.11 in the container's network
// namespace on the host, and the guest's 127.0.0.11 is another. What the agent takes there
// (guest-agent/net/resolver.h) arrives here, by holt-vmm, and is sent on in the namespace. ADR 106.
//
// The guest is hostile: it reaches port 53 of that one address and nothing else, kMaxAtOnce times
// at once and for kPatience.
class Resolver {
 public:
  // Serves the two listening, nonblocking Unix sockets that holt-vmm connects to for datagrams and
  // connections. The namespace is borrowed and outlives it.
  static base::Result<std::unique_ptr<Resolver>> Start(base::EventLoop& loop,
                                                       base::UniqueFd datagrams,
                                                       base::UniqueFd connections,
                                                       int network_namespace);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  static constexpr uint32_t kUdpPort = 1026;  // vsock, the host's
  static constexpr uint32_t kTcpPort = 1027;
  static constexpr size_t kMaxAtOnce = 128;

 private:
  class Flow;
  class Query;
  class Connection;
  Resolver(base::EventLoop& loop, int network_namespace)
      : loop_(loop), namespace_(network_namespace) {}
  template <typename Kind>
  void OnAccept(int listener, int type);
  base::Result<base::UniqueFd> Dial(int type) const;

  base::EventLoop& loop_;
  int namespace_;
  base::UniqueFd datagrams_;
  base::UniqueFd connections_;
  std::set<std::shared_ptr<Flow>> flows_;
};

// Whether the container's /etc/resolv.conf, a file that the engine binds there, names Docker's
// resolver. Sources of bind mounts are places below `share`.
bool UsesDockersResolver(const oci::Config& config, const std::string& share);
// The same of the file's text.
bool NamesDockersResolver(const std::string& resolv_conf);

}  // namespace holt::shim
