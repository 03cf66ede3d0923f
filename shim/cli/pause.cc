// holt pause and holt resume: all processes of a container stand still, and go on.
#include "shim/cli/container.h"
#include "shim/cli/subcommands.h"

namespace holt::shim::cli {
namespace {

Body Define(Flags& flags, const char* method) {
  auto operands = std::make_shared<std::vector<std::string>>();
  flags.Operands("ID", 1, 1, *operands);
  return [operands, method](const Global& global) -> base::Result<int> {
    TRY_ASSIGN(Sandbox sandbox, global.registry().Find(operands->front()));
    auto done = CallRunning<monitor::v1::Empty>(sandbox, method, RequestFor(sandbox));
    if (!done) return std::move(done).error();
    return 0;
  };
}

}  // namespace

Subcommand PauseCommand() {
  return {
      .name = "pause",
      .group = Group::kRuntime,
      .summary = "Make all processes of a container stand still.",
      .define = [](Flags& flags) { return Define(flags, "Pause"); },
  };
}

Subcommand ResumeCommand() {
  return {
      .name = "resume",
      .group = Group::kRuntime,
      .summary = "Let the processes of a paused container go on.",
      .define = [](Flags& flags) { return Define(flags, "Resume"); },
  };
}

}  // namespace holt::shim::cli
