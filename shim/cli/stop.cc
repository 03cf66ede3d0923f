// holt stop.
#include <signal.h>

#include "shim/cli/container.h"
#include "shim/cli/exit_status.h"
#include "shim/cli/subcommands.h"
#include "shim/run/values.h"

namespace holt::shim::cli {
namespace {

struct StopFlags {
  int64_t seconds = -1;  // not given: the container's own
  std::vector<std::string> names;
};

constexpr int64_t kDefaultSeconds = 10;

std::chrono::milliseconds Patience(const StopFlags& flags, const Sandbox& sandbox) {
  int64_t seconds = flags.seconds;
  auto own = sandbox.record.annotations.find(kStopTimeoutAnnotation);
  if (seconds < 0 && own != sandbox.record.annotations.end())
    seconds = ParseInteger(own->second, 0, 86400).value_or(kDefaultSeconds);
  return std::chrono::seconds(seconds < 0 ? kDefaultSeconds : seconds);
}

base::Status Stop(const StopFlags& flags, const Global& global, const std::string& name) {
  TRY_ASSIGN(Sandbox sandbox, global.registry().Find(name));
  if (sandbox.record.status == "stopped") return Print(name + "\n");
  int signal = ParseSignal(sandbox.record.stop_signal).value_or(SIGTERM);
  // Its end may cross with our signal: the wait tells.
  (void)SendSignal(sandbox, signal, false);
  // A paused one gets it when it goes on.
  if (sandbox.record.status == "paused")
    (void)CallMonitor<monitor::v1::Empty>(sandbox, "Resume", RequestFor(sandbox));
  auto exited = WaitForExit(global, sandbox, Patience(flags, sandbox));
  if (!exited && exited.error().code() == base::Code::kDeadlineExceeded) {
    (void)SendSignal(sandbox, SIGKILL, true);
    exited = WaitForExit(global, sandbox, std::chrono::seconds(10));
  }
  // One with --rm is gone by now.
  if (!exited && exited.error().code() != base::Code::kNotFound)
    return std::move(exited).error().Wrap("stop container " + name);
  TRY_CONTEXT(Registry::WaitUntilDead(sandbox.paths, std::chrono::seconds(15)),
              "stop container " + name);
  return Print(name + "\n");
}

}  // namespace

Subcommand StopCommand() {
  return {
      .name = "stop",
      .group = Group::kRun,
      .summary = "Ask containers to end, and kill those that do not.",
      .define = [](Flags& flags) -> Body {
        auto stop = std::make_shared<StopFlags>();
        flags.Integer("-t, --time", stop->seconds, 0, 86400, "SECONDS", "before it kills (10)");
        flags.Operands("CONTAINER...", 1, SIZE_MAX, stop->names);
        return [stop](const Global& global) -> base::Result<int> {
          return ForEach(stop->names,
                         [&](const std::string& name) { return Stop(*stop, global, name); });
        };
      },
  };
}

}  // namespace holt::shim::cli
