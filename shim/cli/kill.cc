// holt kill: runc's `kill [--all] ID [SIGNAL]`, and Docker's `kill --signal SIGNAL CONTAINER...`.
#include <signal.h>

#include "shim/cli/container.h"
#include "shim/cli/subcommands.h"
#include "shim/run/values.h"

namespace holt::shim::cli {
namespace {

struct KillFlags {
  bool all = false;
  std::string signal;
  std::vector<std::string> operands;
};

base::Status Kill(const Global& global, const std::string& name, int signal, bool all) {
  TRY_ASSIGN(Sandbox sandbox, global.registry().Find(name));
  if (sandbox.record.status == "stopped" || !sandbox.alive) {
    // A whole container that is gone has no process left to kill.
    if (all) return {};
    return base::MakeError(base::Code::kFailedPrecondition, "container not running: \"{}\" is {}",
                           name, sandbox.record.status);
  }
  TRY_CONTEXT(SendSignal(sandbox, signal, all), "kill");
  return {};
}

base::Result<int> Run(const KillFlags& flags, const Global& global) {
  std::vector<std::string> names = flags.operands;
  std::string signal = flags.signal;
  if (signal.empty() && names.size() == 2) {
    signal = names.back();
    names.pop_back();
  }
  int number = SIGTERM;
  if (!signal.empty()) {
    TRY_ASSIGN(number, ParseSignal(signal));
  }
  if (names.size() == 1) {
    TRY(Kill(global, names.front(), number, flags.all));
    return 0;
  }
  return ForEach(names,
                 [&](const std::string& name) { return Kill(global, name, number, flags.all); });
}

}  // namespace

Subcommand KillCommand() {
  return {
      .name = "kill",
      .group = Group::kRuntime,
      .summary = "Send a signal to the container's process (TERM).",
      .define = [](Flags& flags) -> Body {
        auto kill = std::make_shared<KillFlags>();
        flags.Bool("-a, --all", kill->all, "to every process of the container");
        flags.String("-s, --signal", kill->signal, "SIGNAL",
                     "as Docker writes it; then all operands are containers");
        flags.Operands("ID [SIGNAL]", 1, SIZE_MAX, kill->operands);
        return [kill](const Global& global) { return Run(*kill, global); };
      },
  };
}

}  // namespace holt::shim::cli
