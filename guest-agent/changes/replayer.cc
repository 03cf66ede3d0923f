#include "guest-agent/changes/replayer.h"

#include <fcntl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/close_fds.h"
#include "base/file.h"
#include "base/log.h"
#include "guest-agent/changes/volumes.h"
#include "rpc/change.h"

namespace holt::guest_agent {
namespace {

using base::Status;
using base::UniqueFd;

Status Serve(int container, const oci::Config& config, int stream) {
  // Streams of others that stayed open here would never end.
  base::CloseAllBut({container, stream});
  TRY_ASSIGN(UniqueFd log, base::Open("/dev/kmsg", O_WRONLY));
  base::log::Init({.program = "holt-agent",
                   .level = base::log::CurrentLevel(),
                   .format = base::log::Format::kKmsg,
                   .fd = log.Release()});
  TRY_ASSIGN(UniqueFd proc, base::Open("/proc", O_PATH | O_DIRECTORY));
  if (setns(container, CLONE_NEWNS) != 0) return HOLT_ERRNO("join the mount namespace");
  ReplayVolumes volumes;
  {
    TRY_ASSIGN(UniqueFd root, base::Open("/", O_PATH | O_DIRECTORY));
    volumes = ReplayVolumes::Open(root.get(), config);
  }
  // The user changes, and what it may do does not.
  if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) != 0)
    return HOLT_ERRNO("PR_SET_SECUREBITS");
  setfsuid(rpc::kReplayUid);
  TRY(base::SetNonblocking(stream, false));
  std::string bytes;
  char buffer[16 << 10];
  while (true) {
    const ssize_t n = read(stream, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return {};
    bytes.append(buffer, static_cast<size_t>(n));
    std::string_view left = bytes;
    while (true) {
      TRY_ASSIGN(auto change, rpc::TakeChange(left));
      if (!change) break;
      volumes.Apply(*change, proc.get());
    }
    bytes.erase(0, bytes.size() - left.size());
  }
}

}  // namespace

base::Result<std::unique_ptr<Replayer>> Replayer::Start(Reaper& reaper, int container,
                                                        const oci::Config& config,
                                                        UniqueFd stream) {
  // SAFETY: the agent has one thread, so a fork of it is a whole process (docs/adr/0041).
  const pid_t pid = fork();
  if (pid < 0) return HOLT_ERRNO("fork");
  if (pid == 0) {
    Status status = Serve(container, config, stream.get());
    if (!status) base::log::Error("replay changes of the host: {}", status.error().message());
    _exit(status ? 0 : 1);
  }
  std::unique_ptr<Replayer> replayer(new Replayer(reaper, pid));
  reaper.Watch(pid, [raw = replayer.get()](int) { raw->pid_ = 0; });
  return replayer;
}

Replayer::~Replayer() {
  if (pid_ == 0) return;
  reaper_.Forget(pid_);
  kill(pid_, SIGKILL);
}

}  // namespace holt::guest_agent
