#include "base/spawn.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/unique_fd.h"

namespace holt::base {
namespace {

// Sent over the pipe when a step in the child failed.
struct ChildError {
  int err;
  char step[32];
};

// Everything the child needs, made before fork: after it only async-signal-safe calls are allowed.
struct ChildPlan {
  const SpawnOptions* options;
  const char* program;
  std::vector<char*> argv;
  std::vector<char*> envp;
  std::vector<std::pair<int, int>> fds;  // sources already above every target
  int highest_target;
  int error_pipe;
  pid_t parent;
};

[[noreturn]] void Fail(const ChildPlan& plan, int error_fd, const char* step) {
  (void)plan;
  ChildError error{};
  error.err = errno;
  strncpy(error.step, step, sizeof error.step - 1);
  ssize_t ignored = write(error_fd, &error, sizeof error);
  (void)ignored;
  _exit(127);
}

// Between fork and exec.
[[noreturn]] void RunChild(const ChildPlan& plan) {
  const SpawnOptions& options = *plan.options;
  int error_fd = plan.error_pipe;
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int signal = 1; signal < 65; ++signal) ::signal(signal, SIG_DFL);

  if (options.cgroup_procs_fd && write(*options.cgroup_procs_fd, "0", 1) != 1)
    Fail(plan, error_fd, "enter the cgroup");
  if (options.new_session && setsid() < 0) Fail(plan, error_fd, "setsid");
  for (int fd : options.join_namespaces)
    if (setns(fd, 0) != 0) Fail(plan, error_fd, "setns");
  if (options.unshare_flags != 0 && unshare(static_cast<int>(options.unshare_flags)) != 0)
    Fail(plan, error_fd, "unshare");
  if (options.working_directory_fd && fchdir(*options.working_directory_fd) != 0)
    Fail(plan, error_fd, "fchdir");
  if (!options.working_directory.empty() && chdir(options.working_directory.c_str()) != 0)
    Fail(plan, error_fd, "chdir");
  for (auto [source, target] : plan.fds)
    if (dup2(source, target) < 0) Fail(plan, error_fd, "dup2");
  for (int fd = 0; fd < 3; ++fd) {
    bool named = false;
    for (auto [source, target] : plan.fds) named = named || target == fd;
    if (named) continue;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, fd) < 0) Fail(plan, error_fd, "open /dev/null");
    if (null == fd) fcntl(fd, F_SETFD, 0);
  }
  // Close-on-exec for all else: the error pipe must live until exec.
  int previous = 2;
  for (int fd = 3; fd <= plan.highest_target; ++fd) {
    bool named = false;
    for (auto [source, target] : plan.fds) named = named || target == fd;
    if (!named) fcntl(fd, F_SETFD, FD_CLOEXEC);
    previous = fd;
  }
  syscall(SYS_close_range, static_cast<unsigned>(previous + 1), ~0U, CLOSE_RANGE_CLOEXEC);

  if (options.gid &&
      (setgroups(0, nullptr) != 0 || setresgid(*options.gid, *options.gid, *options.gid) != 0))
    Fail(plan, error_fd, "setresgid");
  if (options.uid && setresuid(*options.uid, *options.uid, *options.uid) != 0)
    Fail(plan, error_fd, "setresuid");
  if (options.no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    Fail(plan, error_fd, "no_new_privs");
  if (options.parent_death_signal != 0) {
    if (prctl(PR_SET_PDEATHSIG, options.parent_death_signal) != 0)
      Fail(plan, error_fd, "PR_SET_PDEATHSIG");
    // The parent may have died before the line above.
    if (getppid() != plan.parent) _exit(127);
  }
  if (options.executable_fd) {
    syscall(SYS_execveat, *options.executable_fd, "", plan.argv.data(), plan.envp.data(),
            AT_EMPTY_PATH);
  } else {
    execve(plan.program, plan.argv.data(), plan.envp.data());
  }
  Fail(plan, error_fd, "exec");
}

// Children of this thread are born in `pid_namespace` until this is destroyed.
class BornIn {
 public:
  Status Enter(int pid_namespace) {
    own_ = UniqueFd(open("/proc/thread-self/ns/pid", O_RDONLY | O_CLOEXEC));
    if (!own_) return HOLT_ERRNO("/proc/thread-self/ns/pid");
    if (setns(pid_namespace, CLONE_NEWPID) != 0) return HOLT_ERRNO("join the pid namespace");
    return {};
  }
  ~BornIn() {
    if (own_) (void)setns(own_.get(), CLONE_NEWPID);
  }

 private:
  UniqueFd own_;
};

pid_t Fork(const SpawnOptions& options) {
  if (!options.new_pid_namespace) return fork();
  // SAFETY: without CLONE_VM this is a fork; the child calls nothing but the kernel.
  return static_cast<pid_t>(
      syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
}

}  // namespace

Result<pid_t> Spawn(const SpawnOptions& options) {
  if (options.argv.empty()) return Error(Code::kInvalidArgument, "spawn: no program");
  // Who is born into another pid namespace does not see its parent.
  if (options.parent_death_signal != 0 && (options.new_pid_namespace || options.pid_namespace))
    return Error(Code::kInvalidArgument, "spawn: a parent that cannot be seen");
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) return HOLT_ERRNO("pipe2");
  UniqueFd read_end(pipe_fds[0]);
  UniqueFd write_end(pipe_fds[1]);

  ChildPlan plan{};
  plan.options = &options;
  const std::string& program = options.program.empty() ? options.argv[0] : options.program;
  plan.program = program.c_str();
  plan.parent = getpid();
  plan.highest_target = 2;
  for (auto [source, target] : options.fds)
    plan.highest_target = std::max(plan.highest_target, target);
  for (const auto& arg : options.argv) plan.argv.push_back(const_cast<char*>(arg.c_str()));
  plan.argv.push_back(nullptr);
  for (const auto& entry : options.environment)
    plan.envp.push_back(const_cast<char*>(entry.c_str()));
  plan.envp.push_back(nullptr);

  // Copies above every target, so that no dup2 in the child overwrites a source yet to be used.
  std::vector<UniqueFd> copies;
  auto lift = [&](int fd) -> Result<int> {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, plan.highest_target + 1);
    if (copy < 0) return HOLT_ERRNO("spawn {}: dup fd {}", program, fd);
    copies.emplace_back(copy);
    return copy;
  };
  for (auto [source, target] : options.fds) {
    TRY_ASSIGN(int copy, lift(source));
    plan.fds.emplace_back(copy, target);
  }
  TRY_ASSIGN(plan.error_pipe, lift(write_end.get()));
  SpawnOptions lifted;
  if (options.executable_fd || options.working_directory_fd) {
    lifted = options;
    if (options.executable_fd) {
      TRY_ASSIGN(lifted.executable_fd, lift(*options.executable_fd));
    }
    if (options.working_directory_fd) {
      TRY_ASSIGN(lifted.working_directory_fd, lift(*options.working_directory_fd));
    }
    plan.options = &lifted;
  }

  BornIn born_in;
  if (options.pid_namespace) TRY(born_in.Enter(*options.pid_namespace));
  pid_t pid = Fork(options);
  if (pid < 0) return HOLT_ERRNO("fork");
  if (pid == 0) RunChild(plan);

  write_end.Reset();
  copies.clear();
  ChildError error{};
  ssize_t n;
  do {
    n = read(read_end.get(), &error, sizeof error);
  } while (n < 0 && errno == EINTR);
  if (n == 0) return pid;
  waitpid(pid, nullptr, 0);
  if (n != sizeof error) return MakeError(Code::kInternal, "spawn {}: lost", program);
  error.step[sizeof error.step - 1] = 0;
  return ErrnoError(error.err, fmt::format("start {}: {}", program, error.step));
}

std::string DescribeWaitStatus(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    int signal = WTERMSIG(wait_status);
    const char* text = sigdescr_np(signal);
    return fmt::format("killed by signal {} ({})", signal, text ? text : "unknown");
  }
  return fmt::format("exited with status {}", WEXITSTATUS(wait_status));
}

int ExitCodeFromWaitStatus(int wait_status) {
  if (WIFSIGNALED(wait_status)) return 128 + WTERMSIG(wait_status);
  return WEXITSTATUS(wait_status);
}

}  // namespace holt::base
