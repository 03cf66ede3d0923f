// holt wait.
#include "shim/cli/container.h"
#include "shim/cli/subcommands.h"

namespace holt::shim::cli {
namespace {

base::Status Wait(const Global& global, const std::string& name) {
  TRY_ASSIGN(Sandbox sandbox, global.registry().Find(name));
  int status = sandbox.record.exit_status;
  if (sandbox.record.status != "stopped") {
    TRY_ASSIGN_CONTEXT(status, WaitForExit(global, sandbox, std::chrono::milliseconds(-1)),
                       "wait for container " + name);
  }
  return Print(fmt::format("{}\n", status));
}

}  // namespace

Subcommand WaitCommand() {
  return {
      .name = "wait",
      .group = Group::kRun,
      .summary = "Wait until containers have ended; print their exit statuses.",
      .define = [](Flags& flags) -> Body {
        auto names = std::make_shared<std::vector<std::string>>();
        flags.Operands("CONTAINER...", 1, SIZE_MAX, *names);
        return [names](const Global& global) -> base::Result<int> {
          return ForEach(*names, [&](const std::string& name) { return Wait(global, name); });
        };
      },
  };
}

}  // namespace holt::shim::cli
