#include "guest-agent/init/power.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "guest-agent/init/tables.h"

namespace holt::guest_agent {
namespace {

// A process in an uninterruptible call does not die; the machine ends all the same.
constexpr int kKillTurns = 200;
constexpr timespec kKillPause{0, 5'000'000};

void KillAll() {
  if (kill(-1, SIGKILL) != 0) return;  // ESRCH: nobody else is here
  for (int i = 0; i < kKillTurns; ++i) {
    pid_t pid;
    while ((pid = waitpid(-1, nullptr, WNOHANG | __WALL)) > 0) {
    }
    if (pid < 0) return;
    nanosleep(&kKillPause, nullptr);
  }
  base::log::Warning("processes survived SIGKILL for a second");
}

}  // namespace

void PowerOff() {
  KillAll();
  sync();
  if (umount2(kShareDirectory, MNT_DETACH) != 0) base::log::Debug("the share was not mounted");
  reboot(RB_POWER_OFF);
  // Not reached on a machine that can; a panic of the kernel ends the others.
  _exit(1);
}

}  // namespace holt::guest_agent
