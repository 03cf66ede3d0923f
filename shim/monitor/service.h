#pragma once

#include "rpc/server.h"

namespace holt::shim {

class Sandbox;

// Serves `holt.monitor.v1.Monitor` (rpc/monitor.proto) for `sandbox`, which outlives `server`.
void RegisterMonitorService(rpc::Server& server, Sandbox& sandbox);

}  // namespace holt::shim
