#include "shim/cli/exec_process.h"

#include <algorithm>

#include "base/file.h"
#include "shim/run/capabilities.h"
#include "shim/run/environment.h"
#include "shim/run/values.h"

namespace holt::shim::cli {
namespace {

using base::Code;
using base::MakeError;

base::Result<oci::Process> FromFile(const ExecFlags& flags) {
  TRY_ASSIGN(std::string text, base::ReadFile(flags.process_file, oci::kMaxConfigBytes));
  auto process = oci::ParseProcess(text);
  if (!process) return std::move(process).error().Wrap(flags.process_file);
  if (flags.terminal) process->terminal = true;
  return process;
}

base::Status ChangeEnvironment(const ExecFlags& flags, oci::Process& process) {
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
  return {};
}

base::Status AddCapabilities(const ExecFlags& flags, oci::Process& process) {
  if (flags.cap_add.empty() || !process.capabilities) return {};
  TRY_ASSIGN(auto added, ResolveCapabilities(flags.cap_add, {"ALL"}));
  for (const std::string& name : added)
    for (auto* set : {&process.capabilities->bounding, &process.capabilities->effective,
                      &process.capabilities->permitted})
      if (std::find(set->begin(), set->end(), name) == set->end()) set->push_back(name);
  return {};
}

// The user and what belongs to it.
base::Status ChangeUser(const ExecFlags& flags, oci::Process& process) {
  if (!flags.user.empty()) {
    process.user = {};
    process.user.username = flags.user;
    UnsetVariable(process.env, "HOME");
  }
  for (const std::string& gid : flags.additional_gids) {
    TRY_ASSIGN_CONTEXT(int64_t number, ParseInteger(gid, 0, UINT32_MAX - 1), "--additional-gids");
    process.user.additional_gids.push_back(static_cast<uint32_t>(number));
  }
  return {};
}

}  // namespace

void ExecFlags::Define(Flags& flags) {
  flags.Bool("-i, --interactive", interactive, "give it standard input");
  flags.Bool("-t, --tty", terminal, "give it a terminal");
  flags.Bool("-d, --detach", detach, "do not stay with it");
  flags.List("-e, --env", env, "NAME=VALUE", "set a variable; NAME alone takes the caller's");
  flags.List("--env-file", env_files, "FILE", "variables from a file, one a line");
  flags.String("-w, --workdir", working_directory, "DIR", "working directory");
  flags.String("--cwd", working_directory, "DIR", "the same, as runc calls it");
  flags.String("-u, --user", user, "USER[:GROUP]", "names or numbers");
  flags.List("-g, --additional-gids", additional_gids, "GID", "one more group");
  flags.List("-c, --cap", cap_add, "CAPABILITY", "one more capability");
  flags.Bool("--no-new-privs", no_new_privileges, "it cannot gain privileges by executing a file");
  flags.String("--apparmor", apparmor, "PROFILE", "AppArmor profile");
  flags.String("--process-label", process_label, "LABEL", "SELinux label");
  flags.Bool("--ignore-paused", ignore_paused,
             "of a paused container: wait until it is resumed, not an error");
  flags.String("--cgroup", cgroup, "PATH", "only /, the container's own");
  flags.String("-p, --process", process_file, "FILE",
               "the process as the runtime specification has it");
  flags.String("--pid-file", pid_file, "FILE", "gets the number of the process");
  flags.String("--console-socket", console_socket, "SOCKET", "gets the master of its terminal");
  flags.Integer("--preserve-fds", preserve_fds, 0, 1024, "N",
                "it has descriptors 3 to 2 + N, too: pipes, stream sockets, /dev/null");
  flags.Operands("CONTAINER COMMAND [ARG...]", 1, SIZE_MAX, operands);
  flags.StopAtFirstOperand();
}

base::Status ExecFlags::Check() const {
  if (!cgroup.empty() && cgroup != "/")
    return MakeError(Code::kUnsupported,
                     "--cgroup: not supported: \"{}\"; there is / only, the container's own",
                     cgroup);
  if (!process_file.empty() && operands.size() > 1)
    return MakeError(Code::kInvalidArgument, "--process: the command comes from the file");
  if (process_file.empty() && operands.size() < 2)
    return MakeError(Code::kInvalidArgument, "missing argument: COMMAND");
  return {};
}

base::Result<oci::Process> MakeExecProcess(const ExecFlags& flags, const Sandbox& sandbox) {
  if (!flags.process_file.empty()) return FromFile(flags);
  TRY_ASSIGN(std::string text, base::ReadFile(sandbox.paths.Config(), oci::kMaxConfigBytes));
  TRY_ASSIGN_CONTEXT(oci::Config config, oci::ParseConfig(text), sandbox.paths.Config());
  oci::Process process = config.process.value_or(oci::Process{});
  process.args.assign(flags.operands.begin() + 1, flags.operands.end());
  process.terminal = flags.terminal;
  process.console_size.reset();
  TRY(ChangeEnvironment(flags, process));
  if (!flags.working_directory.empty()) process.cwd = flags.working_directory;
  TRY(ChangeUser(flags, process));
  TRY(AddCapabilities(flags, process));
  if (flags.no_new_privileges) process.no_new_privileges = true;
  if (!flags.apparmor.empty()) process.apparmor_profile = flags.apparmor;
  if (!flags.process_label.empty()) process.selinux_label = flags.process_label;
  TRY(oci::ValidateProcess(process));
  return process;
}

}  // namespace holt::shim::cli
