#include "shim/state/process_identity.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <optional>

#include "base/file.h"
#include "base/unique_fd.h"

namespace holt::shim {
namespace {

using base::Code;
using base::UniqueFd;

std::optional<uint64_t> StartTicks(pid_t pid) {
  auto text = base::ReadFile(fmt::format("/proc/{}/stat", pid), 4096);
  if (!text) return std::nullopt;
  // The command's name, in parentheses, may hold anything; fields are counted from behind it.
  size_t at = text->rfind(')');
  if (at == std::string::npos) return std::nullopt;
  constexpr int kStartTime = 22;
  for (int field = 2; field < kStartTime; ++field) {
    at = text->find(' ', at + 1);
    if (at == std::string::npos) return std::nullopt;
  }
  uint64_t ticks = 0;
  const char* begin = text->data() + at + 1;
  if (std::from_chars(begin, text->data() + text->size(), ticks).ec != std::errc())
    return std::nullopt;
  return ticks;
}

// Holds on to the process, so that its pid cannot become another's between look and signal; invalid
// when it is gone.
base::Result<UniqueFd> OpenProcess(const ProcessIdentity& process) {
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0)));
  if (!pidfd) {
    if (errno == ESRCH || errno == EINVAL) return UniqueFd();
    return HOLT_ERRNO("{} (pid {})", process.name, process.pid);
  }
  if (StartTicks(process.pid) != process.start_ticks) return UniqueFd();
  return pidfd;
}

base::Status Send(const ProcessIdentity& process, int pidfd, int signal) {
  if (syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0 || errno == ESRCH) return {};
  return HOLT_ERRNO("signal {} to {} (pid {})", signal, process.name, process.pid);
}

}  // namespace

base::Result<ProcessIdentity> IdentifyProcess(pid_t pid, std::string name) {
  auto ticks = StartTicks(pid);
  if (!ticks) return base::MakeError(Code::kNotFound, "{}: no process {}", name, pid);
  return ProcessIdentity{std::move(name), pid, *ticks};
}

base::Status SignalProcess(const ProcessIdentity& process, int signal) {
  TRY_ASSIGN(UniqueFd pidfd, OpenProcess(process));
  if (!pidfd) return {};
  return Send(process, pidfd.get(), signal);
}

base::Status KillProcess(const ProcessIdentity& process, std::chrono::milliseconds deadline) {
  TRY_ASSIGN(UniqueFd pidfd, OpenProcess(process));
  if (!pidfd) return {};
  TRY(Send(process, pidfd.get(), SIGKILL));
  // A pidfd becomes readable when the process is a zombie: it holds nothing any more then.
  pollfd ended{pidfd.get(), POLLIN, 0};
  if (poll(&ended, 1, static_cast<int>(deadline.count())) == 1) return {};
  return base::MakeError(Code::kDeadlineExceeded, "{} (pid {}) does not die", process.name,
                         process.pid);
}

base::Status KillAllOfUser(uid_t uid) {
  HOLT_CHECK(uid != 0);
  pid_t child = fork();
  if (child < 0) return HOLT_ERRNO("fork");
  if (child == 0) {
    // As that user -1 means all of its processes and nobody else's; this one is not among them
    // (kill(2)).
    if (syscall(SYS_setresuid, uid, uid, uid) != 0) _exit(errno);
    _exit(kill(-1, SIGKILL) == 0 || errno == ESRCH ? 0 : errno);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return HOLT_ERRNO("waitpid");
  // Killed: somebody else had the same thought.
  if (WIFSIGNALED(status)) return {};
  if (WEXITSTATUS(status) != 0)
    return base::ErrnoError(WEXITSTATUS(status), fmt::format("kill all of uid {}", uid));
  return {};
}

}  // namespace holt::shim
