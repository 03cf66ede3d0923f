#include "guest-agent/container/finish.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "guest-agent/container/program.h"
#include "guest-agent/mount/in_root.h"

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;
using base::Status;
using base::UniqueFd;

// By descriptor, without magic links; then proven to be below the root, because a directory that is
// not has no path (CVE-2024-21626).
Status EnterDirectory(const std::string& directory) {
  TRY_ASSIGN(UniqueFd root, base::Open("/", O_PATH | O_DIRECTORY));
  TRY_ASSIGN_CONTEXT(UniqueFd target, OpenInRoot(root.get(), directory, O_PATH | O_DIRECTORY),
                     "process.cwd");
  if (fchdir(target.get()) != 0) return HOLT_ERRNO("process.cwd: {}", directory);
  char path[PATH_MAX];
  long length = syscall(SYS_getcwd, path, sizeof path);
  if (length <= 0 || path[0] != '/')
    return MakeError(Code::kPermissionDenied, "process.cwd: {} is outside the container's root",
                     directory);
  return {};
}

Status LoadFilters(const std::optional<SeccompProgram>& seccomp) {
  if (int err = LoadSeccomp(VsockFilter()); err != 0)
    return base::ErrnoError(err, "load the vsock filter");
  if (!seccomp) return {};
  if (int err = LoadSeccomp(*seccomp); err != 0)
    return base::ErrnoError(err, "linux.seccomp: load");
  return {};
}

Status Finish(const oci::Process& process, const Prepared& prepared) {
  umask(static_cast<mode_t>(process.user.umask.value_or(022)));
  auto entered = EnterDirectory(process.cwd);
  // root squashed, or a directory only the user may enter: again as the user.
  bool again = !entered && (entered.error().err() == EACCES || entered.error().err() == EPERM);
  if (!entered && !again) return entered;
  if (process.no_new_privileges) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return HOLT_ERRNO("process.noNewPrivileges");
  } else {
    // Loading without no_new_privs takes CAP_SYS_ADMIN, which is about to go.
    TRY(LoadFilters(prepared.seccomp));
  }
  TRY(SwitchUser(prepared.user, prepared.capabilities));
  if (again) TRY(EnterDirectory(process.cwd));
  return {};
}

// From 3 on, with none of them in another's way; they stay open over an exec.
Status PlaceOthers(const std::vector<int>& others) {
  const int first_free = 3 + static_cast<int>(others.size());
  std::vector<UniqueFd> copies;
  for (int fd : others) {
    copies.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, first_free));
    if (!copies.back()) return HOLT_ERRNO("dup");
  }
  for (size_t i = 0; i < copies.size(); ++i)
    if (dup2(copies[i].get(), 3 + static_cast<int>(i)) < 0) return HOLT_ERRNO("dup2");
  return {};
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Status SetLimits(const oci::Process& process, const std::optional<oci::Personality>& personality) {
  TRY(SetRlimits(process.rlimits));
  if (process.scheduler) TRY(SetScheduler(*process.scheduler));
  if (process.io_priority) TRY(SetIoPriority(*process.io_priority));
  if (personality) TRY(SetPersonality(*personality));
  return {};
}

base::Error FinishAndExec(const oci::Process& process, const Prepared& prepared,
                          const std::vector<int>& others) {
  if (auto status = Finish(process, prepared); !status) return std::move(status).error();
  auto program = FindProgram(process.args[0], prepared.environment);
  if (!program) return std::move(program).error();
  std::vector<char*> argv = Pointers(process.args);
  std::vector<char*> envp = Pointers(prepared.environment);
  syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
  if (auto placed = PlaceOthers(others); !placed) return std::move(placed).error();
  if (process.no_new_privileges)
    if (auto status = LoadFilters(prepared.seccomp); !status) return std::move(status).error();
  execve(program->c_str(), argv.data(), envp.data());
  return ExecError(errno, process.args[0]);
}

}  // namespace holt::guest_agent
