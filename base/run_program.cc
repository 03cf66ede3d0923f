#include "base/run_program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "base/unique_fd.h"

namespace holt::base {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kErrorBytes = 1024;

// A child that is a process group's leader: killed with its group and reaped unless it ended.
class ChildGroup {
 public:
  explicit ChildGroup(pid_t pid) : pid_(pid) {}
  ~ChildGroup() {
    if (pid_ < 0) return;
    Kill();
    (void)Reap();
  }
  ChildGroup(const ChildGroup&) = delete;
  ChildGroup& operator=(const ChildGroup&) = delete;

  void Kill() { kill(-pid_, SIGKILL); }
  Result<int> Reap() {
    int status = 0;
    pid_t reaped;
    do {
      reaped = waitpid(pid_, &status, 0);
    } while (reaped < 0 && errno == EINTR);
    pid_ = -1;
    if (reaped < 0) return HOLT_ERRNO("waitpid");
    return status;
  }

 private:
  pid_t pid_;
};

Result<UniqueFd> InputFile(std::string_view input) {
  UniqueFd file(memfd_create("stdin", MFD_CLOEXEC));
  if (!file) return HOLT_ERRNO("memfd_create");
  TRY(WriteFd(file.get(), input));
  if (lseek(file.get(), 0, SEEK_SET) != 0) return HOLT_ERRNO("lseek");
  return file;
}

// Takes what is there; false at the end.
bool ReadSome(int fd, std::string& tail) {
  char buffer[4096];
  while (true) {
    ssize_t n = read(fd, buffer, sizeof buffer);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) return false;
    tail.append(buffer, static_cast<size_t>(n));
    if (tail.size() > kErrorBytes) tail.erase(0, tail.size() - kErrorBytes);
  }
}

// Milliseconds to `end`, rounded up, as poll(2) takes them.
int Left(const std::optional<Clock::time_point>& end) {
  if (!end) return -1;
  auto left = std::chrono::ceil<std::chrono::milliseconds>(*end - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1'000'000));
}

}  // namespace

Result<ProgramEnd> RunProgram(SpawnOptions options, std::string_view input,
                              std::optional<std::chrono::milliseconds> timeout) {
  TRY_ASSIGN(UniqueFd in, InputFile(input));
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) return HOLT_ERRNO("pipe2");
  UniqueFd error_read(pipe_fds[0]);
  UniqueFd error_write(pipe_fds[1]);
  TRY(SetNonblocking(error_read.get(), true));
  std::erase_if(options.fds, [](const auto& pair) { return pair.second == 0 || pair.second == 2; });
  options.fds.emplace_back(in.get(), 0);
  options.fds.emplace_back(error_write.get(), 2);
  options.new_session = true;
  options.parent_death_signal = SIGKILL;
  TRY_ASSIGN(pid_t pid, Spawn(options));
  ChildGroup child(pid);
  error_write.Reset();
  UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!process) return HOLT_ERRNO("pidfd_open");

  std::optional<Clock::time_point> end;
  if (timeout) end = Clock::now() + *timeout;
  ProgramEnd result;
  pollfd fds[] = {{process.get(), POLLIN, 0}, {error_read.get(), POLLIN, 0}};
  while (fds[0].revents == 0) {
    int ready = poll(fds, 2, Left(end));
    if (ready < 0 && errno != EINTR) return HOLT_ERRNO("poll");
    if (ready > 0 && fds[1].revents != 0 && !ReadSome(error_read.get(), result.error_text))
      fds[1].fd = -1;
    if (ready <= 0) fds[0].revents = fds[1].revents = 0;
    if (fds[0].revents == 0 && end && Clock::now() >= *end) {
      result.timed_out = true;
      child.Kill();
      break;
    }
  }
  TRY_ASSIGN(result.wait_status, child.Reap());
  ReadSome(error_read.get(), result.error_text);
  return result;
}

}  // namespace holt::base
