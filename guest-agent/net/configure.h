#pragma once

#include <functional>

#include "base/result.h"
#include "guest-agent/net/devices.h"
#include "guest-agent/net/requests.h"
#include "rpc/agent.pb.h"

namespace holt::guest_agent {

// The guest's network as the host wants it: what is in the sandbox's network namespace there.
class Network {
 public:
  // Makes it what `config` says. What the last call said and this one does not is taken away; what
  // containers have made of it themselves is left alone. A part that fails does not keep the others
  // from it: the error is the first one, and names interface or route.
  base::Status Configure(const agent::v1::NetworkConfig& config);

 private:
  // Each step notes what went wrong and goes on.
  using Note = std::function<void(base::Status status, const std::string& what)>;
  void Withdraw(base::NetlinkSocket& netlink, const agent::v1::NetworkConfig& wanted,
                const Note& note);
  Indexes Place(base::NetlinkSocket& netlink, const agent::v1::NetworkConfig& wanted,
                const Note& note);
  const agent::v1::NetworkInterface* Before(const std::string& device_mac) const;

  Devices devices_;
  agent::v1::NetworkConfig config_;  // of the last call
};

}  // namespace holt::guest_agent
