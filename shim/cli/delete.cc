// holt delete: runc's, of one container.
#include "shim/cli/container.h"
#include "shim/cli/subcommands.h"

namespace holt::shim::cli {

Subcommand DeleteCommand() {
  return {
      .name = "delete",
      .group = Group::kRuntime,
      .summary = "Delete a container that has stopped or was never started.",
      .define = [](Flags& flags) -> Body {
        auto operands = std::make_shared<std::vector<std::string>>();
        auto force = std::make_shared<bool>(false);
        flags.Bool("-f, --force", *force,
                   "kill it if it runs; one that does not exist is no error");
        flags.Operands("ID", 1, 1, *operands);
        return [operands, force](const Global& global) -> base::Result<int> {
          auto sandbox = global.registry().Find(operands->front());
          if (!sandbox) {
            if (*force && sandbox.error().code() == base::Code::kNotFound) return 0;
            return std::move(sandbox).error();
          }
          TRY(RemoveContainer(global, *sandbox, *force));
          return 0;
        };
      },
  };
}

}  // namespace holt::shim::cli
