// holt exec: another process in a container, as Docker (`exec -it CONTAINER COMMAND`) and as
// engines (`exec --process FILE --detach --pid-file FILE ID`) write it.
#include <signal.h>
#include <unistd.h>

#include "shim/cli/container.h"
#include "shim/cli/descriptors.h"
#include "shim/cli/exec_process.h"
#include "shim/cli/exit_status.h"
#include "shim/cli/pid_file.h"
#include "shim/cli/report.h"
#include "shim/cli/subcommands.h"
#include "shim/stub/start.h"

namespace holt::shim::cli {
namespace {

using base::Code;
using base::MakeError;

monitor::v1::ExecRequest MakeRequest(const ExecFlags& flags, const Sandbox& sandbox,
                                     const oci::Process& process) {
  monitor::v1::ExecRequest request;
  request.set_container_id(sandbox.record.id);
  request.set_exec_id("exec-" + NewId());
  request.set_oci_process(oci::SerializeProcess(process));
  bool attached = !flags.detach || flags.of_an_engine();
  request.set_attach_output(attached);
  request.set_attach_stdin(attached && (flags.interactive || flags.of_an_engine()));
  request.set_ignore_paused(flags.ignore_paused);
  if (auto size = process.terminal ? GetTerminalSize(0) : std::nullopt) {
    request.set_rows(size->rows);
    request.set_columns(size->columns);
  }
  return request;
}

base::Result<monitor::v1::ExecResponse> Start(const Sandbox& sandbox,
                                              const monitor::v1::ExecRequest& request) {
  return CallMonitor<monitor::v1::ExecResponse>(sandbox, "Exec", request);
}

// An engine watches the stub, whose pid goes to the pid-file.
base::Result<int> ExecWithStub(const ExecFlags& flags, const Sandbox& sandbox,
                               const monitor::v1::ExecRequest& request,
                               const oci::Process& process) {
  TRY(Start(sandbox, request));
  StubOptions stub;
  stub.paths = sandbox.paths;
  stub.container_id = sandbox.record.id;
  stub.exec_id = request.exec_id();
  stub.terminal = process.terminal;
  stub.apparmor_profile = process.apparmor_profile;
  stub.console_socket = flags.console_socket;
  auto watch = [&]() -> base::Status {
    TRY_ASSIGN(stub.installation, FindInstallation());
    TRY_ASSIGN(pid_t pid, StartStub(stub));
    return WritePidFile(flags.pid_file, pid);
  };
  auto watched = watch();
  if (watched) return 0;
  // A process that nobody can wait for is none that was asked for.
  monitor::v1::KillRequest kill;
  kill.set_container_id(stub.container_id);
  kill.set_exec_id(stub.exec_id);
  kill.set_signal(SIGKILL);
  (void)CallMonitor<monitor::v1::Empty>(sandbox, "Kill", kill);
  return std::move(watched).error();
}

base::Result<int> ExecForeground(const ExecFlags& flags, const Global& global,
                                 const Sandbox& sandbox, const monitor::v1::ExecRequest& request,
                                 bool terminal) {
  Session::Options options;
  options.paths = sandbox.paths;
  options.container_id = sandbox.record.id;
  options.exec_id = request.exec_id();
  options.terminal = terminal;
  options.input = request.attach_stdin();
  options.stand_in = flags.of_an_engine();
  options.detach_keys = terminal && options.input && !flags.of_an_engine();
  TRY_ASSIGN(auto session, Session::Open(std::move(options)));
  auto started = session->Call<monitor::v1::ExecResponse>("Exec", request);
  if (!started) {
    if (session->interrupted_by() != 0) return 128 + session->interrupted_by();
    if (flags.of_an_engine()) return std::move(started).error();
    ReportError(started.error().message());
    int status = StatusOfStartError(started.error());
    return status == kStatusHoltFailed ? kStatusExecFailed : status;
  }
  TRY_CONTEXT(session->Attach(), "attach");
  TRY(WritePidFile(flags.pid_file, getpid()));
  TRY_ASSIGN(Session::Outcome outcome, session->Run());
  if (outcome.detached) return 0;
  return ReportOutcome(global.registry(), sandbox.record.id, outcome);
}

base::Status CheckTerminal(const ExecFlags& flags, bool terminal) {
  bool stub = flags.detach && flags.of_an_engine();
  if (terminal && stub && flags.console_socket.empty())
    return MakeError(Code::kInvalidArgument, "process.terminal: --detach needs --console-socket");
  // runc's rule: who stays uses the terminal that it has.
  if (!flags.console_socket.empty() && (!terminal || !flags.detach))
    return MakeError(Code::kInvalidArgument,
                     "--console-socket: needs --detach, and a process with a terminal");
  if (terminal && flags.interactive && !flags.detach && isatty(0) == 0)
    return MakeError(
        Code::kInvalidArgument,
        "--tty: standard input is not a terminal; leave -t away to pipe into the process");
  return {};
}

// What comes back is kept until the process was started.
base::Result<base::UniqueFd> HandOverDescriptors(const ExecFlags& flags, const Sandbox& sandbox,
                                                 monitor::v1::ExecRequest& request) {
  TRY_ASSIGN(const auto descriptors, TakeDescriptors(flags.preserve_fds));
  if (descriptors.empty()) return base::UniqueFd();
  request.set_descriptors(static_cast<uint32_t>(descriptors.size()));
  return HandOver(sandbox.paths, request.container_id(), request.exec_id(), descriptors);
}

base::Result<int> Exec(const ExecFlags& flags, const Global& global) {
  TRY(flags.Check());
  TRY_ASSIGN(Sandbox sandbox, FindRunning(global, flags.operands.front()));
  TRY_ASSIGN(oci::Process process, MakeExecProcess(flags, sandbox));
  TRY(CheckTerminal(flags, process.terminal));
  auto request = MakeRequest(flags, sandbox, process);
  TRY_ASSIGN(const base::UniqueFd handed, HandOverDescriptors(flags, sandbox, request));
  if (flags.detach && flags.of_an_engine()) return ExecWithStub(flags, sandbox, request, process);
  if (!flags.detach) return ExecForeground(flags, global, sandbox, request, process.terminal);
  TRY(Start(sandbox, request));
  return 0;
}

}  // namespace

Subcommand ExecCommand() {
  return {
      .name = "exec",
      .group = Group::kRun,
      .summary = "Run another command in a container that runs.",
      .define = [](Flags& flags) -> Body {
        auto exec = std::make_shared<ExecFlags>();
        exec->Define(flags);
        return [exec](const Global& global) { return Exec(*exec, global); };
      },
      .error_status = kStatusExecFailed,
      .notes =
          "Exit status: the command's; 126 when it cannot be executed, 127 when it does not exist, "
          "255\n"
          "when holt failed. For engines, who give --process, --pid-file or --console-socket, "
          "every "
          "error\n"
          "of its own is 255.",
  };
}

}  // namespace holt::shim::cli
