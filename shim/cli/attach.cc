// holt attach.
#include <unistd.h>

#include "shim/cli/container.h"
#include "shim/cli/exit_status.h"
#include "shim/cli/subcommands.h"

namespace holt::shim::cli {
namespace {

struct AttachFlags {
  bool no_stdin = false;
  bool signal_proxy = true;
  std::vector<std::string> operands;
};

base::Result<int> Attach(const AttachFlags& flags, const Global& global) {
  TRY_ASSIGN(Sandbox sandbox, FindRunning(global, flags.operands.front()));
  Session::Options options;
  options.paths = sandbox.paths;
  options.container_id = sandbox.record.id;
  options.terminal = sandbox.record.terminal;
  options.input = sandbox.record.stdin_open && !flags.no_stdin;
  options.detach_keys = options.terminal && options.input;
  options.forward_signals = flags.signal_proxy;
  options.kill_when_unread = false;
  if (options.terminal && options.input && isatty(0) == 0)
    return base::Error(base::Code::kInvalidArgument,
                       "the container has a terminal, and standard input is none; use --no-stdin");
  TRY_ASSIGN(auto session, Session::Open(std::move(options)));
  TRY_CONTEXT(session->Attach(), "attach");
  TRY_ASSIGN(Session::Outcome outcome, session->Run());
  if (outcome.detached) return 0;
  return ReportOutcome(global.registry(), sandbox.record.id, outcome);
}

}  // namespace

Subcommand AttachCommand() {
  return {
      .name = "attach",
      .group = Group::kRun,
      .summary = "Join this terminal to a container that runs.",
      .define = [](Flags& flags) -> Body {
        auto attach = std::make_shared<AttachFlags>();
        flags.Bool("--no-stdin", attach->no_stdin, "only watch");
        flags.Bool("--sig-proxy", attach->signal_proxy,
                   "=false: signals end this command, not the container");
        flags.Operands("CONTAINER", 1, 1, attach->operands);
        return [attach](const Global& global) { return Attach(*attach, global); };
      },
      .notes =
          "Ctrl-P Ctrl-Q leaves a container with a terminal alone. Exit status: the container's.",
  };
}

}  // namespace holt::shim::cli
