#pragma once

#include <string>
#include <string_view>

namespace holt::shim {

// The directory in which a conmon leaves, besides the bundle, what its engine is to know of the
// container (`--persist-dir`): Podman looks there since version 5. `command_line` is that of the
// process that calls holt, as /proc has it. Empty: it is no conmon, or has none.
std::string ConmonsPersistDir(std::string_view command_line);

}  // namespace holt::shim
