#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "oci/runtime_spec.h"
#include "shim/state/layout.h"

// Descriptors that a command was started with, for the process that it starts
// (docs/adr/0141-descriptors-beside-stdio.md).
namespace holt::shim::cli {

// How many listening sockets a service manager gave this very process: LISTEN_FDS, if LISTEN_PID is
// its number.
int64_t ListenDescriptors();
// Tells a process of a container of its first `count` (sd_listen_fds(3)). 0: nothing.
void TellOfListening(int64_t count, oci::Process& process);

// Takes 3 and the `count` - 1 that follow. An error names the first that a process in a machine
// cannot have.
base::Result<std::vector<base::UniqueFd>> TakeDescriptors(int64_t count);

std::vector<int> Numbers(const std::vector<base::UniqueFd>& descriptors);

// Gives them to the monitor for an exec that is to come. Keep what comes back until it has.
base::Result<base::UniqueFd> HandOver(const SandboxPaths& paths, const std::string& container_id,
                                      const std::string& exec_id,
                                      const std::vector<base::UniqueFd>& descriptors);

}  // namespace holt::shim::cli
