#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace holt::shim {

// What of a notification of the container's (sd_notify(3)) may be said on the host: the lines that
// say how the service is, with values as systemd knows them. Numbers of processes, descriptors and
// who else may speak mean nothing outside of the guest and are left out, as is what is unknown.
// MONOTONIC_USEC becomes `now_usec`, CLOCK_MONOTONIC of the host. Empty: nothing of it.
std::string NotificationForHost(std::string_view message, int64_t now_usec);

// Whether a line of it is READY=1.
bool SaysReady(std::string_view message);

}  // namespace holt::shim
