#pragma once

#include <map>
#include <string>

#include "base/result.h"

namespace holt::guest_agent {

// "net.ipv4.ip_forward" or "net/ipv4/conf/eth0.1/forwarding" as a path below /proc/sys: whichever
// separator comes first is the separator, the other one stands for itself.
std::string SysctlPath(const std::string& name);

// Writes each below `proc`, a descriptor of the agent's own procfs; values land in the namespaces
// of the calling process.
base::Status WriteSysctls(int proc, const std::map<std::string, std::string>& values);

}  // namespace holt::guest_agent
