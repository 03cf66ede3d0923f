// holt rm.
#include "shim/cli/container.h"
#include "shim/cli/subcommands.h"

namespace holt::shim::cli {

Subcommand RmCommand() {
  return {
      .name = "rm",
      .group = Group::kRun,
      .summary = "Remove containers that have ended.",
      .define = [](Flags& flags) -> Body {
        auto names = std::make_shared<std::vector<std::string>>();
        auto force = std::make_shared<bool>(false);
        flags.Bool("-f, --force", *force, "also those that run, which kills them");
        flags.Operands("CONTAINER...", 1, SIZE_MAX, *names);
        return [names, force](const Global& global) -> base::Result<int> {
          return ForEach(*names, [&](const std::string& name) -> base::Status {
            TRY_ASSIGN(Sandbox sandbox, global.registry().Find(name));
            TRY(RemoveContainer(global, sandbox, *force));
            return Print(name + "\n");
          });
        };
      },
  };
}

}  // namespace holt::shim::cli
