// holt start: lets a created container's process exec.
#include "shim/cli/container.h"
#include "shim/cli/notify.h"
#include "shim/cli/subcommands.h"

namespace holt::shim::cli {

Subcommand StartCommand() {
  return {
      .name = "start",
      .group = Group::kRuntime,
      .summary = "Start the process of a container that was created.",
      .define = [](Flags& flags) -> Body {
        auto operands = std::make_shared<std::vector<std::string>>();
        flags.Operands("ID", 1, 1, *operands);
        return [operands](const Global& global) -> base::Result<int> {
          TRY_ASSIGN(Sandbox sandbox, global.registry().Find(operands->front()));
          const Record& record = sandbox.record;
          if (record.status != "created")
            return base::MakeError(base::Code::kFailedPrecondition, "cannot start {}{}{}",
                                   record.status == "running" ? "an already running container"
                                   : record.status == "stopped"
                                       ? "a container that has stopped"
                                       : "a container in the " + record.status + " state",
                                   record.error.empty() ? "" : ": ", record.error);
          auto started = CallMonitor<monitor::v1::Empty>(
              sandbox, "Start", StartRequestFor(record.id, /*stays=*/false));
          if (!started) return std::move(started).error();
          TRY(AfterStart(global, sandbox));
          WaitNotified(sandbox.paths, record.id);
          return 0;
        };
      },
  };
}

}  // namespace holt::shim::cli
