#pragma once

#include <sys/types.h>

#include <array>
#include <string>
#include <vector>

#include "base/result.h"
#include "rpc/agent.pb.h"
#include "shim/network/published.h"

// A network that needs nobody's help: passt(1), an unprivileged process, makes the machine's
// connections as its own. The machine is 10.0.2.15 behind 10.0.2.2 and fd68:6f6c:7400::15 behind
// fe80::2, as far as the host has IPv4 and IPv6; its resolvers, 10.0.2.3 and fd68:6f6c:7400::3, are
// passt, which asks the host's. The host's loopback cannot be reached.
namespace holt::shim::network {

inline constexpr std::array<uint8_t, 6> kUserMac = {0x02, 'h', 'o', 'l', 't', 0};

// What the host's network has: a default route, and for IPv6 addresses on its link and beyond.
struct Families {
  bool ipv4 = false;
  bool ipv6 = false;
};
// Of the calling thread's namespace; kFailedPrecondition when it has neither, which is too little
// for passt.
base::Result<Families> UsableFamilies();

// passt's path; kNotFound says what to install.
base::Result<std::string> FindPasst();

// Its command line for the stream socket `fd`. `uid`: what it becomes.
std::vector<std::string> PasstArgv(const std::string& passt, int fd, uid_t uid, Families families,
                                   const std::vector<Published>& published);

// What the guest is told.
agent::v1::NetworkConfig UserNetworkConfig(Families families);

// The container's resolv.conf(5), made of the host's: passt instead of its resolvers, as far as
// there are any of a family, and its search and options.
std::string UserResolvConf(Families families, const std::string& host);

}  // namespace holt::shim::network
