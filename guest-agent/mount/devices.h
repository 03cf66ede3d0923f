#pragma once

#include <optional>

#include "base/result.h"
#include "base/unique_fd.h"
#include "oci/runtime_spec.h"

namespace holt::guest_agent {

// The devices and links that the runtime specification gives every container (/dev/null, zero,
// full, random, urandom, tty, ptmx, fd, stdin, stdout, stderr), then linux.devices. A config.json
// that binds something on /dev has brought its own: only linux.devices are made then.
base::Status MakeDevices(int root, const oci::Config& config);

// A terminal of the container's own devpts, found below `root`.
struct Pty {
  base::UniqueFd master;
  base::UniqueFd slave;
};
base::Result<Pty> OpenPty(int root, const std::optional<oci::ConsoleSize>& size);

}  // namespace holt::guest_agent
