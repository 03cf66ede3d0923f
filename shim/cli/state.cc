// holt state.
#include "shim/cli/container.h"
#include "shim/cli/state_json.h"
#include "shim/cli/subcommands.h"

namespace holt::shim::cli {

Subcommand StateCommand() {
  return {
      .name = "state",
      .group = Group::kRuntime,
      .summary = "Print the state of a container as JSON.",
      .define = [](Flags& flags) -> Body {
        auto operands = std::make_shared<std::vector<std::string>>();
        flags.Operands("ID", 1, 1, *operands);
        return [operands](const Global& global) -> base::Result<int> {
          TRY_ASSIGN(Sandbox sandbox, global.registry().Find(operands->front()));
          TRY(Print(StateJson(sandbox)));
          return 0;
        };
      },
  };
}

}  // namespace holt::shim::cli
