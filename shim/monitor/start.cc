#include "shim/monitor/start.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/spawn.h"
#include "shim/monitor/cleanup.h"
#include "shim/monitor/outcome.h"
#include "shim/state/descriptor_kind.h"

namespace holt::shim {
namespace {

using base::Code;
using base::UniqueFd;

constexpr auto kTeardownDeadline = std::chrono::seconds(30);

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

base::Result<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return HOLT_ERRNO("pipe");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// The last line of a file that may be long.
std::string LastLine(const std::string& path) {
  auto fd = base::Open(path, O_RDONLY);
  if (!fd) return "";
  off_t size = lseek(fd->get(), 0, SEEK_END);
  lseek(fd->get(), std::max<off_t>(size - 4096, 0), SEEK_SET);
  auto text = base::ReadFd(fd->get(), 8192);
  if (!text) return "";
  size_t end = text->find_last_not_of('\n');
  if (end == std::string::npos) return "";
  size_t begin = text->find_last_of('\n', end);
  begin = begin == std::string::npos ? 0 : begin + 1;
  return text->substr(begin, end + 1 - begin);
}

// Why a monitor that said nothing ended.
base::Error Died(pid_t pid, const SandboxPaths& paths) {
  int status = 0;
  std::string how = "ended";
  if (waitpid(pid, &status, 0) == pid) how = base::DescribeWaitStatus(status);
  std::string line = LastLine(paths.MonitorLog());
  return base::MakeError(Code::kUnavailable, "holt-monitor {}{}", how,
                         line.empty() ? "" : ": " + line);
}

}  // namespace

base::Status StartedMonitor::WaitForEnd(std::chrono::milliseconds deadline) {
  pollfd ended{pidfd.get(), POLLIN, 0};
  int ready;
  do {
    ready = poll(&ended, 1, static_cast<int>(deadline.count()));
  } while (ready < 0 && errno == EINTR);
  if (ready != 1) return base::MakeError(Code::kDeadlineExceeded, "holt-monitor does not end");
  waitpid(pid, nullptr, WNOHANG);
  return {};
}

base::Error StartedMonitor::Explain(base::Error failure, const SandboxPaths& paths) {
  // Its sockets may close a little before it counts as dead.
  pollfd ended{pidfd.get(), POLLIN, 0};
  if (poll(&ended, 1, 200) != 1) return failure;
  siginfo_t info{};
  if (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) != 0) return failure;
  return info.si_code == CLD_EXITED ? std::move(failure) : Died(pid, paths);
}

base::Result<StartedMonitor> StartMonitor(NewSandbox sandbox, const Request& request, int network,
                                          std::span<const int> descriptors) {
  const std::string root = sandbox.root();
  const std::string id = sandbox.id();
  SandboxPaths paths = PathsOf(root, id);
  // Whatever fails from here on, nothing stays.
  auto fail = [&](base::Error error, UniqueFd lock) -> base::Error {
    lock.Reset();
    if (auto status = Cleanup(root, id); !status)
      base::log::Warning("{}", status.error().message());
    return error;
  };
  UniqueFd lock = sandbox.TakeLock();
  auto outcome = MakePipe();
  auto life = MakePipe();
  auto log = base::Open(paths.MonitorLog(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (!outcome) return fail(outcome.error(), std::move(lock));
  if (!life) return fail(life.error(), std::move(lock));
  if (!log) return fail(log.error(), std::move(lock));

  StartedMonitor monitor;
  base::SpawnOptions options;
  options.argv = {request.libexec + "/holt-monitor",
                  "--root",
                  root,
                  "--id",
                  id,
                  "--lock-fd",
                  "3",
                  "--outcome-fd",
                  "4"};
  options.fds = {{log->get(), 2}, {lock.get(), 3}, {outcome->write.get(), 4}};
  options.new_session = true;
  options.working_directory = "/";
  if (request.foreground) {
    options.argv.insert(options.argv.end(), {"--life-fd", "5"});
    options.fds.emplace_back(life->read.get(), 5);
    monitor.life = std::move(life->write);
  }
  if (request.timeline) {
    monitor.timeline = UniqueFd(memfd_create("holt-timeline", MFD_CLOEXEC));
    if (!monitor.timeline) return fail(HOLT_ERRNO("memfd"), std::move(lock));
    options.argv.insert(options.argv.end(), {"--timeline-fd", "6"});
    options.fds.emplace_back(monitor.timeline.get(), 6);
  }
  if (network >= 0) {
    options.argv.insert(options.argv.end(), {"--network-fd", "7"});
    options.fds.emplace_back(network, 7);
  }
  if (!descriptors.empty())
    options.argv.insert(options.argv.end(), {"--descriptors", std::to_string(descriptors.size())});
  for (size_t i = 0; i < descriptors.size(); ++i)
    options.fds.emplace_back(descriptors[i], kFirstDescriptor + static_cast<int>(i));
  auto pid = base::Spawn(options);
  if (!pid) return fail(pid.error(), std::move(lock));
  monitor.pid = *pid;
  monitor.pidfd = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, *pid, 0)));
  if (!monitor.pidfd) return fail(HOLT_ERRNO("pidfd of holt-monitor"), std::move(lock));
  // From here on it is the monitor's alone: its death, and nothing else, frees it.
  lock.Reset();
  outcome->write.Reset();

  base::Status created = ReadOutcome(outcome->read.get());
  if (created) return monitor;
  base::Error error = created.error();
  if (error.code() == Code::kUnavailable && error.message() == kMonitorDied) {
    error = Died(monitor.pid, paths);
  } else if (auto status = monitor.WaitForEnd(kTeardownDeadline); !status) {
    base::log::Warning("{}", status.error().message());
  }
  return fail(std::move(error), UniqueFd());
}

}  // namespace holt::shim
