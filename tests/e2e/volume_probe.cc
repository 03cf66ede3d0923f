// What uses a volume in volumes_test: in a container, and on the host to compare with.
//   watch PATH...     inotify: prints "ready", then a line for each event, until "stop" is made
//   connect SOCKET    sends its input, ends it, prints what comes back
//   flood SOCKET N [stay]   makes up to N connections that say nothing, and ends, or stays
//   notify TEXT...    sends each to $NOTIFY_SOCKET, with a descriptor; \n in it is a newline.
//                     "barrier" waits until the descriptor of a BARRIER=1 is closed
//   notify-flood TEXT sends it for ever
//   serve FD N        accepts N connections from it, one after the other, and sends each back what
//                     it sent, and its number
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <thread>

namespace {

int Fail(const char* what) {
  std::printf("%s: %s\n", what, std::strerror(errno));
  return 1;
}

std::string Names(uint32_t mask) {
  const std::pair<uint32_t, const char*> names[] = {{IN_MODIFY, "MODIFY"},
                                                    {IN_ATTRIB, "ATTRIB"},
                                                    {IN_CLOSE_WRITE, "CLOSE_WRITE"},
                                                    {IN_MOVED_FROM, "MOVED_FROM"},
                                                    {IN_MOVED_TO, "MOVED_TO"},
                                                    {IN_CREATE, "CREATE"},
                                                    {IN_DELETE, "DELETE"},
                                                    {IN_DELETE_SELF, "DELETE_SELF"},
                                                    {IN_MOVE_SELF, "MOVE_SELF"},
                                                    {IN_IGNORED, "IGNORED"},
                                                    {IN_ISDIR, "ISDIR"}};
  std::string out;
  for (const auto& [bit, name] : names)
    if ((mask & bit) != 0) out += (out.empty() ? "" : ",") + std::string(name);
  return out;
}

int Watch(int count, char** paths) {
  const int fd = inotify_init1(IN_CLOEXEC);
  if (fd < 0) return Fail("inotify");
  std::map<int, std::string> watches;
  for (int i = 0; i < count; ++i) {
    const int watch = inotify_add_watch(
        fd, paths[i], IN_ALL_EVENTS & ~uint32_t{IN_OPEN | IN_ACCESS | IN_CLOSE_NOWRITE});
    if (watch < 0) return Fail(paths[i]);
    watches[watch] = paths[i];
  }
  std::puts("ready");
  std::fflush(stdout);
  alignas(inotify_event) char buffer[65536];
  while (true) {
    const ssize_t n = read(fd, buffer, sizeof buffer);
    if (n <= 0) return Fail("read");
    for (ssize_t at = 0; at < n;) {
      inotify_event event;
      std::memcpy(&event, buffer + at, sizeof event);
      const char* name = buffer + at + sizeof event;
      at += static_cast<ssize_t>(sizeof event + event.len);
      std::printf("%s %s %s\n", watches[event.wd].c_str(), Names(event.mask).c_str(),
                  event.len != 0 ? name : "");
      std::fflush(stdout);
      if ((event.mask & (IN_CREATE | IN_DELETE_SELF)) != 0 && event.len != 0 &&
          std::strcmp(name, "stop") == 0)
        return 0;
    }
  }
}

int Connect(const char* path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return Fail("connect");
  std::thread writer([fd] {
    char buffer[65536];
    ssize_t n;
    while ((n = read(0, buffer, sizeof buffer)) > 0)
      for (ssize_t at = 0; at < n;) {
        const ssize_t sent = send(fd, buffer + at, static_cast<size_t>(n - at), MSG_NOSIGNAL);
        if (sent <= 0) break;
        at += sent;
      }
    shutdown(fd, SHUT_WR);
  });
  char buffer[65536];
  ssize_t n;
  while ((n = read(fd, buffer, sizeof buffer)) > 0)
    if (fwrite(buffer, 1, static_cast<size_t>(n), stdout) != static_cast<size_t>(n)) break;
  std::fflush(stdout);
  writer.join();
  return n == 0 ? 0 : Fail("read");
}

int Flood(const char* path, int count, bool stay) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  int made = 0;
  for (int tries = 0; made < count && tries < count + 100; ++tries) {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return Fail("socket");
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
      ++made;
      continue;
    }
    close(fd);
    usleep(5000);
  }
  std::printf("flooded with %d\n", made);
  std::fflush(stdout);
  if (stay) pause();
  return 0;
}

// Sends `text` with `fd` to $NOTIFY_SOCKET, as sd_notify(3) does.
bool SendNotification(const std::string& text, int fd) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path == nullptr ? "" : path, sizeof address.sun_path - 1);
  iovec data{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = sizeof address;
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  const int sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool sent = sendmsg(sender, &message, MSG_NOSIGNAL) >= 0;
  const int error = errno;
  close(sender);
  errno = error;
  return sent;
}

int Barrier() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0 || !SendNotification("BARRIER=1", ends[1]))
    return Fail("barrier");
  close(ends[1]);
  pollfd ended{ends[0], POLLIN, 0};
  std::puts(poll(&ended, 1, 20'000) == 1 ? "passed" : "stuck");
  return 0;
}

int Notify(int count, char** texts) {
  for (int i = 0; i < count; ++i) {
    std::string text = texts[i];
    if (text == "barrier") {
      if (Barrier() != 0) return 1;
      continue;
    }
    for (size_t at; (at = text.find("\\n")) != std::string::npos;) text.replace(at, 2, "\n");
    if (!SendNotification(text, 0)) return Fail("notify");
  }
  return 0;
}

int NotifyFlood(const std::string& text) {
  for (int count = 0;; ++count) {
    if (!SendNotification(text, 0)) return Fail("notify");
    if (count == 20) {
      std::puts("flooding");
      std::fflush(stdout);
    }
  }
}

int Serve(int listener, int count) {
  std::puts("serving");
  std::fflush(stdout);
  for (int i = 0; i < count; ++i) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return Fail("accept");
    std::string text;
    char buffer[4096];
    ssize_t n;
    while ((n = read(fd, buffer, sizeof buffer)) > 0) text.append(buffer, static_cast<size_t>(n));
    text += " " + std::to_string(i);
    for (size_t at = 0; at < text.size();) {
      n = send(fd, text.data() + at, text.size() - at, MSG_NOSIGNAL);
      if (n <= 0) return Fail("send");
      at += static_cast<size_t>(n);
    }
    close(fd);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 2 ? argv[1] : "";
  if (what == "watch") return Watch(argc - 2, argv + 2);
  if (what == "connect") return Connect(argv[2]);
  if (what == "flood" && argc > 3) return Flood(argv[2], std::atoi(argv[3]), argc > 4);
  if (what == "serve" && argc > 3) return Serve(std::atoi(argv[2]), std::atoi(argv[3]));
  if (what == "notify") return Notify(argc - 2, argv + 2);
  if (what == "notify-flood") return NotifyFlood(argv[2]);
  return 2;
}
