#include "shim/stub/start.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include "base/file.h"
#include "base/spawn.h"
#include "base/unique_fd.h"
#include "oci/unsupported.h"
#include "shim/cgroup/place.h"
#include "shim/state/record.h"
#include "shim/state/volumes.h"
#include "shim/stub/find.h"

namespace holt::shim {

using base::Code;
using base::UniqueFd;

namespace {

// Where engines look for the container's limits and usage. Not open where the sandbox has no
// cgroup.
base::Result<UniqueFd> OpenCgroup(const Record& record) {
  if (record.cgroup.empty()) return UniqueFd();
  return base::Open(kHierarchy + record.cgroup + "/cgroup.procs", O_WRONLY);
}

// What engines find by the stub's pid: the container's, not the host's. An exec's stub joins its
// container's; where a command stands in for that there is none to join.
class Namespaces {
 public:
  base::Status Open(const StubOptions& options, const Record& record) {
    if (!options.exec_id.empty()) stub_ = FindStub(options.paths, record);
    if (stub_) return {};
    TRY_ASSIGN(mounts_, base::Open(fmt::format("/proc/{}/ns/mnt", record.monitor_pid), O_RDONLY));
    TRY_ASSIGN(std::string text, base::ReadFile(options.paths.Config(), oci::kMaxConfigBytes));
    TRY_ASSIGN_CONTEXT(config_, oci::ParseConfig(text), options.paths.Config());
    return {};
  }

  // Arguments come last: the list of volumes has no end of its own.
  void AddTo(const StubOptions& options, base::SpawnOptions& spawn) const {
    spawn.fds.emplace_back(stub_ ? stub_->mounts.get() : mounts_.get(), 4);
    if (stub_) {
      spawn.pid_namespace = stub_->pids.get();
      spawn.join_namespaces = {stub_->network.get()};
      spawn.argv.insert(spawn.argv.end(), {"--join-mounts", "4"});
      return;
    }
    spawn.new_pid_namespace = true;
    if (options.network >= 0) {
      spawn.join_namespaces = {options.network};
    } else {
      spawn.unshare_flags = CLONE_NEWNET;
    }
    spawn.argv.insert(spawn.argv.end(),
                      {"--monitor-mounts", "4", "--share",
                       options.paths.Share() + "/" + options.container_id, "--volumes"});
    for (const Volume& volume : VolumesOf(config_))
      spawn.argv.insert(spawn.argv.end(), {volume.place, volume.destination});
  }

 private:
  std::optional<StubNamespaces> stub_;
  UniqueFd mounts_;
  oci::Config config_;
};

}  // namespace

base::Result<pid_t> StartStub(const StubOptions& options) {
  TRY_ASSIGN(std::string program, options.installation.Program("holt-stub"));
  TRY_ASSIGN(std::string state, base::ReadFile(options.paths.State()));
  TRY_ASSIGN(Record record, ParseRecord(state));
  Namespaces namespaces;
  TRY(namespaces.Open(options, record));
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
  if (!options.apparmor_profile.empty() && options.apparmor_profile != oci::kNoAppArmorProfile)
    spawn.argv.insert(spawn.argv.end(), {"--apparmor", options.apparmor_profile});
  spawn.fds = {{write_end.get(), 3}};
  if (options.holder >= 0) {
    spawn.fds.emplace_back(options.holder, 5);
    spawn.argv.insert(spawn.argv.end(), {"--holder-fd", "5"});
  } else {
    // What the engine gave; one that is closed becomes /dev/null.
    for (int fd = 0; fd < 3; ++fd)
      if (fcntl(fd, F_GETFD) >= 0) spawn.fds.emplace_back(fd, fd);
  }
  namespaces.AddTo(options, spawn);
  spawn.new_session = true;
  spawn.working_directory = "/";
  TRY_ASSIGN(UniqueFd cgroup, OpenCgroup(record));
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
