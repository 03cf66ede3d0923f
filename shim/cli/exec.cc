// holt exec: another process in a container, as Docker (`exec -it CONTAINER COMMAND`) and as
// engines
// (`exec --process FILE --detach --pid-file FILE ID`) write it.
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "shim/cli/container.h"
#include "shim/cli/exit_status.h"
#include "shim/cli/pid_file.h"
#include "shim/cli/report.h"
#include "shim/cli/subcommands.h"
#include "shim/run/capabilities.h"
#include "shim/run/environment.h"
#include "shim/stub/start.h"

namespace holt::shim::cli {
namespace {

using base::Code;
using base::MakeError;

struct ExecFlags {
  bool interactive = false;
  bool terminal = false;
  bool detach = false;
  std::vector<std::string> env;
  std::vector<std::string> env_files;
  std::string working_directory;
  std::string user;
  std::vector<std::string> cap_add;
  std::string process_file;
  std::string pid_file;
  std::string console_socket;
  int64_t preserve_fds = 0;
  std::vector<std::string> operands;

  bool of_an_engine() const { return !process_file.empty(); }
};

// What the container's own process is like, with the flags' changes.
base::Result<oci::Process> MakeProcess(const ExecFlags& flags, const Sandbox& sandbox) {
  if (flags.of_an_engine()) {
    if (flags.operands.size() > 1)
      return MakeError(Code::kInvalidArgument, "--process: the command comes from the file");
    TRY_ASSIGN(std::string text, base::ReadFile(flags.process_file, oci::kMaxConfigBytes));
    auto process = oci::ParseProcess(text);
    if (!process) return std::move(process).error().Wrap(flags.process_file);
    if (flags.terminal) process->terminal = true;
    return process;
  }
  if (flags.operands.size() < 2)
    return MakeError(Code::kInvalidArgument, "missing argument: COMMAND");
  TRY_ASSIGN(std::string text, base::ReadFile(sandbox.paths.Config(), oci::kMaxConfigBytes));
  TRY_ASSIGN_CONTEXT(oci::Config config, oci::ParseConfig(text), sandbox.paths.Config());
  oci::Process process = config.process.value_or(oci::Process{});
  process.args.assign(flags.operands.begin() + 1, flags.operands.end());
  process.terminal = flags.terminal;
  process.console_size.reset();
  if (!flags.terminal) UnsetVariable(process.env, "TERM");
  if (flags.terminal && !HasVariable(process.env, "TERM")) SetVariable(process.env, "TERM=xterm");
  for (const std::string& file : flags.env_files) {
    TRY_ASSIGN_CONTEXT(auto variables, ReadEnvFile(file), "--env-file");
    ApplyVariables(process.env, variables);
  }
  for (const std::string& one : flags.env) {
    TRY_ASSIGN_CONTEXT(std::string variable, ParseVariable(one), "--env");
    ApplyVariables(process.env, {variable});
  }
  if (!flags.working_directory.empty()) process.cwd = flags.working_directory;
  if (!flags.user.empty()) {
    process.user = {};
    process.user.username = flags.user;
    UnsetVariable(process.env, "HOME");
  }
  if (!flags.cap_add.empty() && process.capabilities) {
    TRY_ASSIGN(auto added, ResolveCapabilities(flags.cap_add, {"ALL"}));
    for (const std::string& name : added)
      for (auto* set : {&process.capabilities->bounding, &process.capabilities->effective,
                        &process.capabilities->permitted})
        if (std::find(set->begin(), set->end(), name) == set->end()) set->push_back(name);
  }
  TRY(oci::ValidateProcess(process));
  return process;
}

monitor::v1::ExecRequest MakeRequest(const ExecFlags& flags, const Sandbox& sandbox,
                                     const oci::Process& process) {
  monitor::v1::ExecRequest request;
  request.set_container_id(sandbox.record.id);
  request.set_exec_id("exec-" + NewId());
  request.set_oci_process(oci::SerializeProcess(process));
  bool attached = !flags.detach || flags.of_an_engine();
  request.set_attach_output(attached);
  request.set_attach_stdin(attached && (flags.interactive || flags.of_an_engine()));
  if (auto size = process.terminal ? GetTerminalSize(0) : std::nullopt) {
    request.set_rows(size->rows);
    request.set_columns(size->columns);
  }
  return request;
}

// An engine watches the stub, whose pid goes to the pid-file.
base::Result<int> ExecWithStub(const ExecFlags& flags, const Sandbox& sandbox,
                               const monitor::v1::ExecRequest& request, bool terminal) {
  if (terminal && flags.console_socket.empty())
    return MakeError(Code::kInvalidArgument, "process.terminal: --detach needs --console-socket");
  auto started = CallMonitor<monitor::v1::ExecResponse>(sandbox, "Exec", request);
  if (!started) return std::move(started).error();
  StubOptions stub;
  TRY_ASSIGN(stub.installation, FindInstallation());
  stub.paths = sandbox.paths;
  stub.container_id = sandbox.record.id;
  stub.exec_id = request.exec_id();
  stub.terminal = terminal;
  stub.console_socket = flags.console_socket;
  TRY_ASSIGN(pid_t pid, StartStub(stub));
  TRY(WritePidFile(flags.pid_file, pid));
  return 0;
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
  options.detach_keys = terminal && options.input;
  TRY_ASSIGN(auto session, Session::Open(std::move(options)));
  auto started = session->Call<monitor::v1::ExecResponse>("Exec", request);
  if (!started) {
    if (session->interrupted_by() != 0) return 128 + session->interrupted_by();
    if (flags.of_an_engine()) return std::move(started).error();
    ReportError(started.error().message());
    int status = StatusOfStartError(started.error());
    return status == kStatusHoltFailed ? kStatusExecFailed : status;
  }
  TRY(WritePidFile(flags.pid_file, getpid()));
  TRY_CONTEXT(session->Attach(), "attach");
  TRY_ASSIGN(Session::Outcome outcome, session->Run());
  if (outcome.detached) return 0;
  return ReportOutcome(global.registry(), sandbox.record.id, outcome);
}

base::Result<int> Exec(const ExecFlags& flags, const Global& global) {
  if (flags.preserve_fds != 0)
    return MakeError(
        Code::kUnsupported,
        "--preserve-fds: not supported: a descriptor of the host means nothing in a virtual "
        "machine");
  TRY_ASSIGN(Sandbox sandbox, FindRunning(global, flags.operands.front()));
  TRY_ASSIGN(oci::Process process, MakeProcess(flags, sandbox));
  if (process.terminal && flags.interactive && !flags.detach && isatty(0) == 0)
    return MakeError(
        Code::kInvalidArgument,
        "--tty: standard input is not a terminal; leave -t away to pipe into the process");
  auto request = MakeRequest(flags, sandbox, process);
  if (flags.detach && flags.of_an_engine())
    return ExecWithStub(flags, sandbox, request, process.terminal);
  if (flags.detach) {
    auto started = CallMonitor<monitor::v1::ExecResponse>(sandbox, "Exec", request);
    if (!started) return std::move(started).error();
    return 0;
  }
  return ExecForeground(flags, global, sandbox, request, process.terminal);
}

}  // namespace

Subcommand ExecCommand() {
  return {
      .name = "exec",
      .group = Group::kRun,
      .summary = "Run another command in a container that runs.",
      .define = [](Flags& flags) -> Body {
        auto exec = std::make_shared<ExecFlags>();
        flags.Bool("-i, --interactive", exec->interactive, "give it standard input");
        flags.Bool("-t, --tty", exec->terminal, "give it a terminal");
        flags.Bool("-d, --detach", exec->detach, "do not stay with it");
        flags.List("-e, --env", exec->env, "NAME=VALUE",
                   "set a variable; NAME alone takes the caller's");
        flags.List("--env-file", exec->env_files, "FILE", "variables from a file, one a line");
        flags.String("-w, --workdir", exec->working_directory, "DIR", "working directory");
        flags.String("--cwd", exec->working_directory, "DIR", "the same, as runc calls it");
        flags.String("-u, --user", exec->user, "USER[:GROUP]", "names or numbers");
        flags.List("-c, --cap", exec->cap_add, "CAPABILITY", "one more capability");
        flags.String("-p, --process", exec->process_file, "FILE",
                     "the process as the runtime specification has it");
        flags.String("--pid-file", exec->pid_file, "FILE", "gets the number of the process");
        flags.String("--console-socket", exec->console_socket, "SOCKET",
                     "gets the master of its terminal");
        flags.Integer("--preserve-fds", exec->preserve_fds, 0, 1024, "N",
                      "only 0: the machine has none of them");
        flags.Operands("CONTAINER COMMAND [ARG...]", 1, SIZE_MAX, exec->operands);
        flags.StopAtFirstOperand();
        return [exec](const Global& global) { return Exec(*exec, global); };
      },
      .error_status = kStatusExecFailed,
      .notes =
          "Exit status: the command's; 126 when it cannot be executed, 127 when it does not exist, "
          "255\n"
          "when holt failed.",
  };
}

}  // namespace holt::shim::cli
