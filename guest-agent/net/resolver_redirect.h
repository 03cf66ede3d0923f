#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <vector>

#include "base/result.h"

// 127.0.0.11, port 53, of a container is another port of the agent's there: BPF programs that the
// kernel asks when a socket of a cgroup connects, sends or receives. The port itself stays free for
// a name server of the container's own that listens on every address, as it is under Docker.
namespace holt::guest_agent {

inline constexpr uint32_t kResolverAddress = 127u << 24 | 11;  // host order
inline constexpr uint16_t kDnsPort = 53;

struct ResolverPorts {
  uint64_t netns_cookie =
      0;  // SO_NETNS_COOKIE: only there; a container's own namespaces are its own
  uint16_t udp = 0;
  uint16_t tcp = 0;
};

// Attaches the programs to the cgroup directory `cgroup`, for everything below it.
base::Status RedirectResolver(int cgroup, const ResolverPorts& ports);

// The programs, for the test: of connect(2) and sendto(2), and of recvfrom(2).
std::vector<bpf_insn> ResolverProgramOut(const ResolverPorts& ports);
std::vector<bpf_insn> ResolverProgramIn(const ResolverPorts& ports);

}  // namespace holt::guest_agent
