// PID 1 of the peer's guest in start.py: what the least that does the same job would be. Mounts the
// rootfs that Debian's virtiofsd shares, runs PERF_COMMAND in it, and ends the machine by a reset,
// which is what QEMU's microvm without ACPI understands.

#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

[[noreturn]] void End() {
  sync();
  reboot(RB_AUTOBOOT);
  _exit(1);
}

void Require(bool ok, const char* what) {
  if (ok) return;
  std::perror(what);
  End();
}

}  // namespace

int main() {
  mkdir("/root", 0755);
  Require(mount("holt", "/root", "virtiofs", 0, nullptr) == 0, "mount virtiofs");
  Require(mount("proc", "/root/proc", "proc", 0, nullptr) == 0, "mount proc");
  Require(mount("dev", "/root/dev", "devtmpfs", 0, nullptr) == 0, "mount dev");
  const char* command = std::getenv("PERF_COMMAND");
  pid_t pid = fork();
  if (pid == 0) {
    Require(chroot("/root") == 0 && chdir("/") == 0, "chroot");
    execl("/bin/sh", "sh", "-c", command ? command : "exec true", nullptr);
    Require(false, "exec");
  }
  int status = 1;
  waitpid(pid, &status, 0);
  std::printf("peer: status %d\n", WEXITSTATUS(status));
  std::fflush(stdout);
  if (std::getenv("PERF_IDLE")) pause();
  End();
}
