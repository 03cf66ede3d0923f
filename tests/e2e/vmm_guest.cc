// PID 1 of the guest in vmm_software_test, vmm_kvm_test and fsd_test: does what "act=" on the
// kernel's command line says.

#include <linux/vm_sockets.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/e2e/fs_checks.h"

namespace {

// Sends what comes back, until the host closes its side.
void Echo(int fd) {
  char buffer[4096];
  ssize_t n;
  while ((n = read(fd, buffer, sizeof buffer)) > 0)
    for (ssize_t sent = 0; sent < n;) {
      ssize_t m = write(fd, buffer + sent, static_cast<size_t>(n - sent));
      if (m <= 0) return;
      sent += m;
    }
  shutdown(fd, SHUT_WR);
}

sockaddr_vm Address(unsigned cid, unsigned port) {
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = port;
  return address;
}

// Echoes one connection of the host's to port 1025, and tells the host's port 1024 that it may
// come.
void Vsock() {
  int listener = socket(AF_VSOCK, SOCK_STREAM, 0);
  sockaddr_vm here = Address(VMADDR_CID_ANY, 1025);
  if (bind(listener, reinterpret_cast<sockaddr*>(&here), sizeof here) != 0 ||
      listen(listener, 1) != 0)
    std::perror("listen");
  int ready = socket(AF_VSOCK, SOCK_STREAM, 0);
  sockaddr_vm host = Address(VMADDR_CID_HOST, 1024);
  if (connect(ready, reinterpret_cast<sockaddr*>(&host), sizeof host) != 0) std::perror("connect");
  if (write(ready, "ready\n", 6) != 6) std::perror("write");
  Echo(accept(listener, nullptr, nullptr));
}

// The share, with the checks of fs_checks.h on it.
void Fs(bool readonly) {
  mkdir("/proc", 0755);
  mkdir("/share", 0755);
  if (mount("proc", "/proc", "proc", 0, nullptr) != 0) std::perror("mount proc");
  if (mount("holt", "/share", "virtiofs", 0, nullptr) != 0) return std::perror("mount share");
  RunFsChecks("/share", readonly);
}

}  // namespace

int main() {
  const char* action = std::getenv("act");
  if (action == nullptr) action = "none";
  std::printf("guest: %s\n", action);
  std::fflush(stdout);
  if (std::strcmp(action, "reboot") == 0) reboot(RB_AUTOBOOT);
  if (std::strcmp(action, "panic") == 0) return 3;  // the kernel does not survive its init
  if (std::strcmp(action, "vsock") == 0) Vsock();
  if (std::strcmp(action, "fs") == 0) Fs(false);
  if (std::strcmp(action, "fs-readonly") == 0) Fs(true);
  if (std::strcmp(action, "hang") == 0) pause();
  if (std::strcmp(action, "spin") == 0)
    for (volatile unsigned turns = 0;;) turns = turns + 1;
  if (std::strcmp(action, "cpus") == 0) std::printf("cpus: %ld\n", sysconf(_SC_NPROCESSORS_ONLN));
  if (std::strcmp(action, "memory") == 0)
    std::printf("memory: %ld MiB\n", sysconf(_SC_PHYS_PAGES) / 256);
  std::fflush(stdout);
  reboot(RB_POWER_OFF);
  return 1;
}
