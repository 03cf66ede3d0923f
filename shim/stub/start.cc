#include "shim/stub/start.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/spawn.h"
#include "base/unique_fd.h"
#include "shim/cgroup/place.h"
#include "shim/state/record.h"

namespace holt::shim {

using base::Code;
using base::UniqueFd;

namespace {

// Where engines look for the container's limits and usage. Not open where the sandbox has no
// cgroup.
base::Result<UniqueFd> OpenCgroup(const SandboxPaths& paths) {
  TRY_ASSIGN(std::string text, base::ReadFile(paths.State()));
  TRY_ASSIGN(Record record, ParseRecord(text));
  if (record.cgroup.empty()) return UniqueFd();
  return base::Open(kHierarchy + record.cgroup + "/cgroup.procs", O_WRONLY);
}

}  // namespace

base::Result<pid_t> StartStub(const StubOptions& options) {
  TRY_ASSIGN(std::string program, options.installation.Program("holt-stub"));
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return HOLT_ERRNO("pipe");
  UniqueFd read_end(fds[0]);
  UniqueFd write_end(fds[1]);
  base::SpawnOptions spawn;
  spawn.argv = {
      program,       "--attach", options.paths.AttachSocket(), "--container", options.container_id,
      "--status-fd", "3"};
  if (!options.exec_id.empty()) spawn.argv.insert(spawn.argv.end(), {"--exec", options.exec_id});
  if (options.terminal) spawn.argv.emplace_back("--terminal");
  if (!options.console_socket.empty())
    spawn.argv.insert(spawn.argv.end(), {"--console-socket", options.console_socket});
  spawn.fds = {{write_end.get(), 3}};
  // What the engine gave; one that is closed becomes /dev/null.
  for (int fd = 0; fd < 3; ++fd)
    if (fcntl(fd, F_GETFD) >= 0) spawn.fds.emplace_back(fd, fd);
  if (options.network >= 0) spawn.join_namespaces = {options.network};
  spawn.new_session = true;
  spawn.working_directory = "/";
  TRY_ASSIGN(UniqueFd cgroup, OpenCgroup(options.paths));
  if (cgroup) spawn.cgroup_procs_fd = cgroup.get();
  TRY_ASSIGN(pid_t pid, base::Spawn(spawn));
  write_end.Reset();
  auto answer = base::ReadFd(read_end.get(), 4096);
  if (answer && *answer == "ok") return pid;
  kill(pid, SIGKILL);
  int status = 0;
  waitpid(pid, &status, 0);
  if (answer && answer->starts_with("error "))
    return base::Error(Code::kUnavailable, "holt-stub: " + answer->substr(6));
  return base::MakeError(Code::kUnavailable, "holt-stub {}", base::DescribeWaitStatus(status));
}

}  // namespace holt::shim
