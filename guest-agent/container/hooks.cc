#include "guest-agent/container/hooks.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/spawn.h"
#include "base/unique_fd.h"

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

// A file, not a pipe: a hook that does not read its standard input must not block us.
Result<UniqueFd> StateFile(const std::string& state_json) {
  UniqueFd file(memfd_create("state", MFD_CLOEXEC));
  if (!file) return HOLT_ERRNO("memfd_create");
  TRY(base::WriteFd(file.get(), state_json));
  if (lseek(file.get(), 0, SEEK_SET) != 0) return HOLT_ERRNO("lseek");
  return file;
}

Status RunHook(const oci::Hook& hook, int state) {
  base::SpawnOptions options;
  options.argv = hook.args.empty() ? oci::Strings{hook.path} : hook.args;
  options.environment = hook.env;
  options.fds = {{state, 0}};
  TRY_ASSIGN(UniqueFd program, base::Open(hook.path, O_RDONLY));
  options.executable_fd = program.get();
  TRY_ASSIGN(pid_t pid, base::Spawn(options));
  UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!process) return HOLT_ERRNO("pidfd_open");
  pollfd ended{process.get(), POLLIN, 0};
  int timeout_ms = hook.timeout ? std::min(*hook.timeout, 2'000'000) * 1000 : -1;
  bool late = poll(&ended, 1, timeout_ms) == 0;
  if (late) kill(pid, SIGKILL);
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) return HOLT_ERRNO("waitpid");
  if (late)
    return MakeError(Code::kDeadlineExceeded, "ran longer than its timeout of {} s", *hook.timeout);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return MakeError(Code::kFailedPrecondition, "{}", base::DescribeWaitStatus(status));
  return {};
}

}  // namespace

Status RunHooks(const std::vector<oci::Hook>& hooks, const std::string& name,
                const std::string& state_json) {
  for (size_t i = 0; i < hooks.size(); ++i) {
    std::string item = fmt::format("{}[{}]: {}", name, i, hooks[i].path);
    TRY_ASSIGN_CONTEXT(UniqueFd state, StateFile(state_json), item);
    TRY_CONTEXT(RunHook(hooks[i], state.get()), item);
  }
  return {};
}

}  // namespace holt::guest_agent
