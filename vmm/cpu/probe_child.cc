#include "vmm/cpu/probe_child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/unique_fd.h"

namespace holt::vmm {
namespace {

using base::Code;
using base::MakeError;
using base::UniqueFd;
using Clock = std::chrono::steady_clock;

// Reads one ProbeResult before `end`. False: the child ended without one, or time is up.
bool ReadResult(int pipe, Clock::time_point end, ProbeResult& result) {
  while (true) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    if (left <= 0) return false;
    pollfd poll_fd{pipe, POLLIN, 0};
    const int ready = poll(&poll_fd, 1, static_cast<int>(left));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    // A pipe takes so few bytes whole or not at all.
    return read(pipe, &result, sizeof result) == static_cast<ssize_t>(sizeof result);
  }
}

// True when the child is reaped within a second.
bool KillAndReap(pid_t pid) {
  kill(pid, SIGKILL);
  const auto end = Clock::now() + std::chrono::seconds(1);
  while (true) {
    const pid_t done = waitpid(pid, nullptr, WNOHANG);
    if (done == pid || (done < 0 && errno != EINTR)) return true;
    if (Clock::now() > end) return false;
    const timespec pause{0, 200'000};
    nanosleep(&pause, nullptr);
  }
}

}  // namespace

base::Result<ProbeResult> RunBounded(ProbeResult (*guest)(int device), int device,
                                     std::chrono::milliseconds deadline) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return HOLT_ERRNO("pipe");
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const auto end = Clock::now() + deadline;
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return HOLT_ERRNO("fork");
  if (pid == 0) {
    // A guest that hangs must not outlive a command that was killed.
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) _exit(1);
    const ProbeResult result = guest(device);
    ssize_t ignored = write(write_end.get(), &result, sizeof result);
    (void)ignored;
    _exit(0);
  }
  write_end.Reset();
  ProbeResult result;
  const bool answered = ReadResult(read_end.get(), end, result);
  const bool reaped = KillAndReap(pid);
  if (answered) return result;
  return MakeError(Code::kDeadlineExceeded, "a tiny guest did not finish in {} ms{}",
                   deadline.count(), reaped ? "" : ", and cannot be killed");
}

}  // namespace holt::vmm
