// Both ends of net.py's measurements.
//   serve PORT                     on the host: takes bytes at PORT, gives them at PORT+1, echoes
//   datagrams at PORT+2 setup IFACE ADDRESS MTU        gives an interface an address of a /24 and
//   sets it up (the peer's guest has no tools) run ADDRESS PORT MIB ROUNDS    in the guest: prints
//   the figures
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

void Require(bool ok, const char* what) {
  if (ok) return;
  std::perror(what);
  std::exit(1);
}

double Seconds(Clock::time_point since) {
  return std::chrono::duration<double>(Clock::now() - since).count();
}

sockaddr_in At(const char* address, int port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(static_cast<uint16_t>(port));
  Require(inet_pton(AF_INET, address, &out.sin_addr) == 1, "address");
  return out;
}

int Bound(int type, int port) {
  const int fd = socket(AF_INET, type, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const sockaddr_in any = At("0.0.0.0", port);
  Require(bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof any) == 0, "bind");
  if (type == SOCK_STREAM) Require(listen(fd, 4) == 0, "listen");
  return fd;
}

int Connected(int type, const char* address, int port) {
  const int fd = socket(AF_INET, type, 0);
  const sockaddr_in to = At(address, port);
  Require(connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0, "connect");
  return fd;
}

std::vector<char>& Buffer() {
  static std::vector<char> buffer(256 << 10, 'x');
  return buffer;
}

uint64_t TakeAll(int fd) {
  uint64_t bytes = 0;
  ssize_t n;
  while ((n = read(fd, Buffer().data(), Buffer().size())) > 0) bytes += static_cast<uint64_t>(n);
  return bytes;
}

void Give(int fd, uint64_t bytes) {
  while (bytes > 0) {
    const ssize_t n =
        send(fd, Buffer().data(), std::min<uint64_t>(bytes, Buffer().size()), MSG_NOSIGNAL);
    if (n <= 0) return;
    bytes -= static_cast<uint64_t>(n);
  }
}

[[noreturn]] void ServeTake(int port) {
  const int listener = Bound(SOCK_STREAM, port);
  while (true) {
    const int fd = accept(listener, nullptr, nullptr);
    TakeAll(fd);
    (void)!write(fd, "k", 1);  // it is all here
    close(fd);
  }
}

[[noreturn]] void ServeGive(int port) {
  const int listener = Bound(SOCK_STREAM, port);
  while (true) {
    const int fd = accept(listener, nullptr, nullptr);
    uint64_t bytes = 0;
    if (read(fd, &bytes, sizeof bytes) == sizeof bytes) Give(fd, bytes);
    close(fd);
  }
}

[[noreturn]] void ServeEcho(int port) {
  const int fd = Bound(SOCK_DGRAM, port);
  while (true) {
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const ssize_t n = recvfrom(fd, Buffer().data(), Buffer().size(), 0,
                               reinterpret_cast<sockaddr*>(&from), &size);
    if (n > 0)
      (void)!sendto(fd, Buffer().data(), static_cast<size_t>(n), 0,
                    reinterpret_cast<sockaddr*>(&from), size);
  }
}

void Setup(const char* name, const char* address, int mtu) {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  ifreq request{};
  std::snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  auto set_address = [&](const char* text, unsigned long what) {
    const sockaddr_in value = At(text, 0);
    std::memcpy(&request.ifr_addr, &value, sizeof value);
    Require(ioctl(fd, what, &request) == 0, text);
  };
  request.ifr_mtu = mtu;
  Require(ioctl(fd, SIOCSIFMTU, &request) == 0, "mtu");
  set_address(address, SIOCSIFADDR);
  set_address("255.255.255.0", SIOCSIFNETMASK);
  request.ifr_flags = IFF_UP;
  Require(ioctl(fd, SIOCSIFFLAGS, &request) == 0, "up");
}

void Run(const char* address, int port, uint64_t mebibytes, int rounds) {
  const uint64_t bytes = mebibytes << 20;
  const double mib = static_cast<double>(mebibytes);
  auto begin = Clock::now();
  int fd = Connected(SOCK_STREAM, address, port);
  Give(fd, bytes);
  shutdown(fd, SHUT_WR);
  char done = 0;
  Require(read(fd, &done, 1) == 1, "send");
  std::printf("figure send %.2f MiB/s\n", mib / Seconds(begin));

  begin = Clock::now();
  fd = Connected(SOCK_STREAM, address, port + 1);
  (void)!write(fd, &bytes, sizeof bytes);
  Require(TakeAll(fd) == bytes, "receive");
  std::printf("figure receive %.2f MiB/s\n", mib / Seconds(begin));

  fd = Connected(SOCK_DGRAM, address, port + 2);
  std::vector<double> times;
  for (int i = 0; i < rounds; ++i) {
    begin = Clock::now();
    Require(send(fd, "ping", 4, 0) == 4, "send a datagram");
    pollfd wait{fd, POLLIN, 0};
    if (poll(&wait, 1, 2000) != 1) continue;
    Require(recv(fd, Buffer().data(), Buffer().size(), 0) == 4, "receive a datagram");
    times.push_back(Seconds(begin) * 1e6);
  }
  Require(times.size() > static_cast<size_t>(rounds) / 2, "datagrams");
  std::sort(times.begin(), times.end());
  std::printf("figure round-trip %.2f us\n", times[times.size() / 2]);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "serve" && argc == 3) {
    const int port = std::atoi(argv[2]);
    if (fork() == 0) ServeTake(port);
    if (fork() == 0) ServeGive(port + 1);
    ServeEcho(port + 2);
  }
  if (what == "setup" && argc == 5) {
    Setup(argv[2], argv[3], std::atoi(argv[4]));
  } else if (what == "run" && argc == 6) {
    Run(argv[2], std::atoi(argv[3]), std::strtoull(argv[4], nullptr, 10), std::atoi(argv[5]));
  } else {
    return 2;
  }
  return 0;
}
