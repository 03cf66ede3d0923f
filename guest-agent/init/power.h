#pragma once

namespace holt::guest_agent {

// Ends every process, writes everything out, unmounts the share and switches the machine off. For
// process 1. Does not return.
[[noreturn]] void PowerOff();

}  // namespace holt::guest_agent
