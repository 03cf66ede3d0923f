// /probe in the containers of agent_test: what a shell cannot do.

#include <dirent.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

int Report(bool worked) {
  if (worked) {
    std::puts("ok");
    return 0;
  }
  std::printf("%s\n", std::strerror(errno));
  return 1;
}

// A vsock by io_uring's IORING_OP_SOCKET, which no seccomp filter sees; or -1.
int SocketByUring() {
  io_uring_params params{};
  int ring = static_cast<int>(syscall(SYS_io_uring_setup, 1, &params));
  if (ring < 0) return -1;
  auto map = [ring](size_t size, off_t offset) {
    return static_cast<char*>(
        mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, offset));
  };
  char* rings = map(4096, IORING_OFF_SQ_RING);
  auto* entry = reinterpret_cast<io_uring_sqe*>(map(4096, IORING_OFF_SQES));
  if (rings == MAP_FAILED || entry == MAP_FAILED) return -1;
  entry->opcode = 45;  // IORING_OP_SOCKET, younger than this system's header
  entry->fd = AF_VSOCK;
  entry->off = SOCK_STREAM;
  reinterpret_cast<uint32_t*>(rings + params.sq_off.array)[0] = 0;
  __atomic_store_n(reinterpret_cast<uint32_t*>(rings + params.sq_off.tail), 1, __ATOMIC_RELEASE);
  if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, nullptr, 0) < 0) return -1;
  // Both rings share one mapping (IORING_FEAT_SINGLE_MMAP).
  int result = reinterpret_cast<io_uring_cqe*>(rings + params.cq_off.cqes)[0].res;
  if (result < 0) errno = -result;
  return result < 0 ? -1 : result;
}

// Dials CID and PORT on `fd`, and says what the other side does.
int Vsock(int fd, unsigned cid, unsigned port) {
  if (fd < 0) return Report(false);
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = port;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return Report(false);
  char c;
  // A peer that refuses whom it does not know closes at once.
  ssize_t n = read(fd, &c, 1);
  std::printf("connected, then %s\n", n == 0 ? "closed" : n < 0 ? "reset" : "spoken to");
  return 0;
}

// The descriptors of this process, and what they are.
int Descriptors() {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return Report(false);
  while (dirent* entry = readdir(directory)) {
    int fd = std::atoi(entry->d_name);
    if (entry->d_name[0] == '.' || fd == dirfd(directory)) continue;
    char target[256] = {};
    if (readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1) < 0) continue;
    std::printf("%d %s\n", fd, target);
  }
  return 0;
}

// Makes the node and opens it.
int Device(char type, unsigned major, unsigned minor) {
  const char* path = "/tmp/device";
  unlink(path);
  mode_t kind = type == 'b' ? S_IFBLK : S_IFCHR;
  if (mknod(path, kind | 0600, makedev(major, minor)) != 0) return Report(false);
  int fd = open(path, O_RDONLY | O_NONBLOCK);
  int err = errno;
  unlink(path);
  errno = err;
  return Report(fd >= 0);
}

int Eat(size_t bytes) {
  char* memory = static_cast<char*>(
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (memory == MAP_FAILED) return Report(false);
  for (size_t at = 0; at < bytes; at += 4096) memory[at] = 1;
  std::puts("ate it");
  return 0;
}

volatile sig_atomic_t g_signal = 0;

// Says which signal came.
int Catch(int signal) {
  struct sigaction action {};
  action.sa_handler = [](int number) { g_signal = number; };
  sigaction(signal, &action, nullptr);
  // Not to be missed between a look at g_signal and the wait for it.
  sigset_t blocked, before;
  sigfillset(&blocked);
  sigprocmask(SIG_SETMASK, &blocked, &before);
  std::puts("waiting");
  std::fflush(stdout);
  while (g_signal == 0) sigsuspend(&before);
  std::printf("caught %d\n", static_cast<int>(g_signal));
  return 3;
}

// `count` bytes of a pattern.
int Emit(size_t count) {
  static char buffer[65536];
  for (size_t done = 0; done < count;) {
    size_t size = count - done < sizeof buffer ? count - done : sizeof buffer;
    for (size_t i = 0; i < size; ++i) buffer[i] = static_cast<char>((done + i) * 2654435761u >> 13);
    for (size_t at = 0; at < size;) {
      ssize_t n = write(1, buffer + at, size - at);
      if (n <= 0) return Report(false);
      at += static_cast<size_t>(n);
    }
    done += size;
  }
  return 0;
}

// Waits for a process that executes another program than this one, and tries to write to that
// program (CVE-2019-5736). Never yields: who is looked for runs only where this does not.
int OverwriteProgram() {
  char own[256] = {};
  if (readlink("/proc/self/exe", own, sizeof own - 1) < 0) return Report(false);
  std::puts("looking");
  std::fflush(stdout);
  while (true) {
    DIR* directory = opendir("/proc");
    if (directory == nullptr) return Report(false);
    while (dirent* entry = readdir(directory)) {
      if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
      char path[300], target[256] = {};
      std::snprintf(path, sizeof path, "/proc/%s/exe", entry->d_name);
      if (readlink(path, target, sizeof target - 1) < 0 || std::strcmp(target, own) == 0) continue;
      // Held, so that it can be tried again when nothing executes it any more.
      int program = open(path, O_PATH);
      if (program < 0) continue;
      std::snprintf(path, sizeof path, "/proc/self/fd/%d", program);
      std::printf("%s: ", target);
      Report(open(path, O_WRONLY) >= 0);
      return Report(chmod(path, 0777) == 0);
    }
    closedir(directory);
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::string_view command = argc > 1 ? argv[1] : "";
  auto number = [&](int i) { return argc > i ? std::strtoul(argv[i], nullptr, 0) : 0; };
  if (command == "vsock")
    return Vsock(socket(AF_VSOCK, SOCK_STREAM, 0), static_cast<unsigned>(number(2)),
                 static_cast<unsigned>(number(3)));
  if (command == "vsock-uring")
    return Vsock(SocketByUring(), static_cast<unsigned>(number(2)),
                 static_cast<unsigned>(number(3)));
  if (command == "fds") return Descriptors();
  if (command == "device" && argc > 4)
    return Device(argv[2][0], static_cast<unsigned>(number(3)), static_cast<unsigned>(number(4)));
  if (command == "eat") return Eat(number(2) << 20);
  if (command == "catch") return Catch(static_cast<int>(number(2)));
  if (command == "emit") return Emit(number(2));
  if (command == "open" && argc > 2) return Report(open(argv[2], O_RDWR) >= 0);
  if (command == "mount") return Report(mount("none", "/tmp", "tmpfs", 0, nullptr) == 0);
  if (command == "mkdir" && argc > 2) return Report(mkdir(argv[2], 0755) == 0);
  if (command == "ptrace") return Report(ptrace(PTRACE_SEIZE, number(2), 0, 0) == 0);
  if (command == "getppid") return Report(syscall(SYS_getppid) >= 0);
  if (command == "overwrite-program") return OverwriteProgram();
  if (command == "nofile") {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    std::printf("%lu %lu\n", static_cast<unsigned long>(limit.rlim_cur),
                static_cast<unsigned long>(limit.rlim_max));
    return 0;
  }
  std::puts("probe: no such command");
  return 2;
}
