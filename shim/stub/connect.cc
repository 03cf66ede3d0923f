#include "shim/stub/connect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

namespace holt::stub {
namespace {

using base::UniqueFd;

constexpr size_t kMaxLine = 512;

UniqueFd Fail(char* error, size_t error_size, const char* what) {
  snprintf(error, error_size, "%s: %s", what, strerror(errno));
  return UniqueFd();
}

UniqueFd Connect(const char* path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fd;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  UniqueFd holder;
  if (strlen(path) >= sizeof address.sun_path) {
    // Longer than an address takes: by a descriptor of the socket's own inode.
    holder = UniqueFd(open(path, O_PATH | O_CLOEXEC));
    if (!holder) return UniqueFd();
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", holder.get());
  } else {
    strcpy(address.sun_path, path);
  }
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return UniqueFd();
  return fd;
}

bool SendFd(int socket, const char* text, int fd) {
  iovec data{const_cast<char*>(text), strlen(text)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  return sendmsg(socket, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(data.iov_len);
}

}  // namespace

bool ReadLine(int fd, char* line, size_t size) {
  size_t at = 0;
  while (at + 1 < size) {
    ssize_t n = read(fd, line + at, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    if (line[at] == '\n') {
      line[at] = 0;
      return true;
    }
    ++at;
  }
  return false;
}

bool WriteAll(int fd, const char* data, size_t size) {
  while (size > 0) {
    ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
    if (n < 0 && errno == ENOTSOCK) n = write(fd, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

UniqueFd Attach(const Target& target, const char* stream, char* error, size_t error_size) {
  UniqueFd fd = Connect(target.socket);
  if (!fd) return Fail(error, error_size, target.socket);
  char line[kMaxLine];
  int length = snprintf(line, sizeof line, "%s %s %s\n", stream, target.container, target.exec);
  if (length < 0 || static_cast<size_t>(length) >= sizeof line) {
    snprintf(error, error_size, "attach: names too long");
    return UniqueFd();
  }
  if (!WriteAll(fd.get(), line, static_cast<size_t>(length)))
    return Fail(error, error_size, "attach");
  if (!ReadLine(fd.get(), line, sizeof line)) {
    snprintf(error, error_size, "attach %s: no answer", stream);
    return UniqueFd();
  }
  if (strcmp(line, "ok") == 0) return fd;
  snprintf(error, error_size, "attach %s: %s", stream,
           strncmp(line, "error ", 6) == 0 ? line + 6 : line);
  return UniqueFd();
}

UniqueFd MakeTerminal(const char* path, char* error, size_t error_size) {
  UniqueFd master(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!master || grantpt(master.get()) != 0 || unlockpt(master.get()) != 0)
    return Fail(error, error_size, "make a terminal");
  char name[64];
  if (ptsname_r(master.get(), name, sizeof name) != 0)
    return Fail(error, error_size, "make a terminal");
  // By ioctl, not by name: /dev/pts may be another one here.
  UniqueFd slave(ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!slave) return Fail(error, error_size, "open the terminal");
  termios raw{};
  if (tcgetattr(slave.get(), &raw) != 0) return Fail(error, error_size, "terminal settings");
  // The line discipline is the guest's.
  cfmakeraw(&raw);
  if (tcsetattr(slave.get(), TCSANOW, &raw) != 0)
    return Fail(error, error_size, "terminal settings");
  if (ioctl(slave.get(), TIOCSCTTY, 0) != 0) return Fail(error, error_size, "controlling terminal");
  UniqueFd socket = Connect(path);
  if (!socket) return Fail(error, error_size, path);
  if (!SendFd(socket.get(), name, master.get())) return Fail(error, error_size, path);
  // What the caller had there is its own: containerd's shim reads create's output to its end.
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (dup2(slave.get(), fd) < 0) return Fail(error, error_size, "the terminal as stdio");
  return slave;
}

}  // namespace holt::stub
