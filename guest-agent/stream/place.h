#pragma once

#include <string>

#include "base/result.h"

namespace holt::guest_agent {

// A path, in a directory that only the agent reaches, that no socket of any container had yet: for
// sockets that stand for the host's.
base::Result<std::string> PlaceForSocket();

}  // namespace holt::guest_agent
