#pragma once

#include <sys/types.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "rpc/agent.pb.h"

// A network that needs nobody's help: passt(1), an unprivileged process, makes the machine's
// connections as its own. The machine is 10.0.2.15 behind 10.0.2.2, and its resolver is 10.0.2.3,
// which passt answers for the host's. IPv4 only; the host's loopback cannot be reached.
namespace holt::shim::network {

inline constexpr std::array<uint8_t, 6> kUserMac = {0x02, 'h', 'o', 'l', 't', 0};
inline constexpr char kUserResolver[] = "10.0.2.3";

// A TCP port of the host's that leads into the container.
struct Published {
  std::string address;  // of the host's; empty: all
  uint16_t host = 0;
  uint16_t guest = 0;
};
// "[ADDRESS:]HOST:GUEST[/tcp]": TCP, IPv4. kInvalidArgument names what is wrong with it.
base::Result<Published> ParsePublished(std::string_view text);

// passt's path; kNotFound says what to install.
base::Result<std::string> FindPasst();

// Its command line for the stream socket `fd`. `uid`: what it becomes.
std::vector<std::string> PasstArgv(const std::string& passt, int fd, uid_t uid,
                                   const std::vector<Published>& published);

// What the guest is told.
agent::v1::NetworkConfig UserNetworkConfig();

}  // namespace holt::shim::network
