#pragma once

#include <string>

#include "oci/runtime_spec.h"
#include "rpc/monitor.pb.h"
#include "shim/state/layout.h"
#include "shim/state/record.h"

// NOTIFY_SOCKET of a command's own environment, as runc has it
// (docs/adr/0140-what-a-container-says-of-itself.md).
namespace holt::shim::cli {

// Gives the container a socket that leads there, unless its engine told it of one. Returns a
// warning when nobody listens at it.
std::string TakeNotifySocket(oci::Config& config, Request& request);

// What starts the container. In the environment of NOTIFY_SOCKET this command is who speaks for it;
// one that stays with it is the service's main process too.
monitor::v1::StartRequest StartRequestFor(const std::string& container_id, bool stays);

// In that environment: returns when the container has said that it is ready and the host has taken
// it, or has ended. For a command that leaves, because the host does not believe who is gone.
void WaitNotified(const SandboxPaths& paths, const std::string& container_id);

}  // namespace holt::shim::cli
