#pragma once

#include "base/result.h"
#include "rpc/agent.pb.h"

namespace holt::guest_agent {

// Makes the guest's network what the host found in the sandbox's network namespace: devices are
// found by their hardware address, get name, address and MTU, then addresses, routes and
// neighbours. Errors name the interface or the route.
base::Status ConfigureNetwork(const agent::v1::NetworkConfig& config);

}  // namespace holt::guest_agent
