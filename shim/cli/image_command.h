#pragma once

#include <cstdio>
#include <memory>

#include "image/commands/commands.h"
#include "shim/cli/subcommands.h"

namespace holt::shim::cli {

// The body of an image command: hands the parsed options over, and flushes what it printed.
template <typename Command>
Body ImageBody(std::shared_ptr<Command> command,
               base::Status (*run)(const Command&, const image::commands::Io&)) {
  return [command, run](const Global& global) -> base::Result<int> {
    command->common.store = global.store;
    TRY(run(*command, {}));
    if (std::fflush(stdout) != 0) return HOLT_ERRNO("standard output");
    return 0;
  };
}

}  // namespace holt::shim::cli
