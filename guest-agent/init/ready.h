#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holt::guest_agent {

// The first line that the host reads on the ready connection, newline included.
std::string ReadyLine(const std::string& version, uint64_t boot_us);
std::string FailureLine(const std::string& error);

// Connects to the host's ready port and says `line`. Keep the connection: its end tells the host
// that the agent is gone.
base::Result<base::UniqueFd> TellHost(const std::string& line);

}  // namespace holt::guest_agent
