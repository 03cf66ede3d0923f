#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "guest-agent/init/timeline.h"

namespace holt::guest_agent {

// What a booted guest has for the service.
struct Booted {
  base::UniqueFd share;  // the share's root, O_PATH; an empty tmpfs directory when there is none
  base::UniqueFd log;    // /dev/kmsg
};

// Does what init/tables.h says: the agent's own root with its mounts, the log, limits, cgroups, the
// share. For process 1 of the guest, once. An error is one without which containers cannot run;
// others are logged. After an error `booted` has what there is: the log, for one.
base::Status Boot(Timeline& timeline, Booted& booted);

// What can wait until the host has been told, but not until it is served: sysctls and loopback.
// Only logs what fails.
void FinishBoot(Timeline& timeline);

// The value of `name` ("holt.share") on a kernel command line, the last one if it is there several
// times; `otherwise` if it is not.
std::string CommandLineValue(std::string_view command_line, std::string_view name,
                             std::string_view otherwise);

}  // namespace holt::guest_agent
