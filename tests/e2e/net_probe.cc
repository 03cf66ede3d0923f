// The ends of the connections in network_test: in a container, and on the host beside it.
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace {

constexpr int kPatienceSeconds = 60;

int Fail(const char* what) {
  std::printf("%s: %s\n", what, std::strerror(errno));
  return 1;
}

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
};

Address Parse(const char* text, uint16_t port) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size = sizeof *v4;
  } else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.size = sizeof *v6;
  }
  return address;
}

// Both families: an IPv6 socket that takes IPv4 too.
int Listen(int type, uint16_t port) {
  const int fd = socket(AF_INET6, type, 0);
  const int on = 1, off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  any.sin6_port = htons(port);
  if (bind(fd, reinterpret_cast<sockaddr*>(&any), sizeof any) != 0) return -1;
  if (type == SOCK_STREAM && listen(fd, 16) != 0) return -1;
  return fd;
}

int Connect(const char* host, uint16_t port) {
  const Address address = Parse(host, port);
  for (int attempt = 0; attempt < kPatienceSeconds * 10; ++attempt) {
    const int fd = socket(address.family(), SOCK_STREAM, 0);
    if (connect(fd, address.get(), address.size) == 0) return fd;
    close(fd);
    // The other side may not listen yet.
    if (errno != ECONNREFUSED) return -1;
    usleep(100'000);
  }
  return -1;
}

struct Sum {
  uint64_t bytes = 0;
  uint64_t hash = 0xcbf29ce484222325;
  void Add(const unsigned char* data, size_t size) {
    bytes += size;
    for (size_t i = 0; i < size; ++i) hash = (hash ^ data[i]) * 0x100000001b3;
  }
  void Print(const char* what) const {
    std::printf("%s %llu %016llx\n", what, static_cast<unsigned long long>(bytes),
                static_cast<unsigned long long>(hash));
    std::fflush(stdout);
  }
};

// Sends so many bytes that no two pieces of are alike, and prints their sum.
int Push(int fd, uint64_t bytes) {
  std::vector<unsigned char> buffer(128 << 10);
  uint64_t state = 88172645463325252ull;
  Sum sum;
  while (sum.bytes < bytes) {
    for (size_t i = 0; i + 8 <= buffer.size(); i += 8) {
      state ^= state << 13, state ^= state >> 7, state ^= state << 17;
      std::memcpy(&buffer[i], &state, 8);
    }
    const size_t part = bytes - sum.bytes < buffer.size() ? bytes - sum.bytes : buffer.size();
    for (size_t done = 0; done < part;) {
      const ssize_t n = send(fd, &buffer[done], part - done, MSG_NOSIGNAL);
      if (n < 0) return Fail("send");
      done += static_cast<size_t>(n);
    }
    sum.Add(buffer.data(), part);
  }
  shutdown(fd, SHUT_WR);
  char end;
  (void)!recv(fd, &end, 1, 0);
  sum.Print("sent");
  return 0;
}

int Take(int fd) {
  std::vector<unsigned char> buffer(128 << 10);
  Sum sum;
  ssize_t n;
  while ((n = recv(fd, buffer.data(), buffer.size(), 0)) > 0)
    sum.Add(buffer.data(), static_cast<size_t>(n));
  if (n < 0) return Fail("receive");
  sum.Print("received");
  close(fd);
  return 0;
}

int Accept(uint16_t port) {
  const int listener = Listen(SOCK_STREAM, port);
  if (listener < 0) return -1;
  std::puts("listening");
  std::fflush(stdout);
  return accept(listener, nullptr, nullptr);
}

// Answers datagrams until it is killed.
int Echo(uint16_t port) {
  const int fd = Listen(SOCK_DGRAM, port);
  if (fd < 0) return Fail("bind");
  std::puts("listening");
  std::fflush(stdout);
  std::vector<char> buffer(65536);
  while (true) {
    Address from;
    from.size = sizeof from.storage;
    const ssize_t n = recvfrom(fd, buffer.data(), buffer.size(), 0,
                               reinterpret_cast<sockaddr*>(&from.storage), &from.size);
    if (n < 0) return Fail("receive");
    (void)!sendto(fd, buffer.data(), static_cast<size_t>(n), 0, from.get(), from.size);
  }
}

// Sends a message until it is answered with the same: datagrams may be lost.
int Ask(int fd, const Address& to, const std::string& message, size_t compared_from) {
  for (int attempt = 0; attempt < kPatienceSeconds; ++attempt) {
    if (sendto(fd, message.data(), message.size(), 0, to.get(), to.size) < 0) return Fail("send");
    pollfd wait{fd, POLLIN, 0};
    while (poll(&wait, 1, 1000) == 1) {
      std::string answer(70000, '\0');
      const ssize_t n = recv(fd, answer.data(), answer.size(), 0);
      if (n < 0) return Fail("receive");
      answer.resize(static_cast<size_t>(n));
      if (answer.ends_with(message.substr(compared_from)) && answer != message) {
        std::puts("answered");
        return 0;
      }
      if (compared_from == 0 && answer == message) {
        std::puts("answered");
        return 0;
      }
    }
  }
  std::puts("no answer");
  return 1;
}

int Udp(const char* host, uint16_t port, size_t bytes, const char* from) {
  const Address to = Parse(host, port);
  const int fd = socket(to.family(), SOCK_DGRAM, 0);
  if (from != nullptr) {
    const Address own = Parse(from, 0);
    if (bind(fd, own.get(), own.size) != 0) return Fail("bind");
  }
  // Whole or not at all, so that the size says something about the MTU.
  const int discover = IP_PMTUDISC_DO;
  if (to.family() == AF_INET)
    setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &discover, sizeof discover);
  else
    setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &discover, sizeof discover);
  std::string message(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) message[i] = static_cast<char>(i * 7);
  return Ask(fd, to, message, 0);
}

int Ping(const char* host) {
  const Address to = Parse(host, 0);
  const bool v4 = to.family() == AF_INET;
  const int fd = socket(to.family(), SOCK_RAW, v4 ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6});
  if (fd < 0) return Fail("raw socket");
  std::string message;
  icmphdr header{};
  header.type = v4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
  message.assign(reinterpret_cast<const char*>(&header), sizeof header);
  message += "otters sleep holding hands";
  if (v4) {
    uint32_t sum = 0;
    for (size_t i = 0; i < message.size(); i += 2) {
      uint16_t word;
      std::memcpy(&word, &message[i], 2);
      sum += word;
    }
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    const auto checksum = static_cast<uint16_t>(~sum);
    std::memcpy(&message[offsetof(icmphdr, checksum)], &checksum, 2);
  }
  return Ask(fd, to, message, sizeof header);
}

// As a container does that may configure its network.
int AddAddress(const char* name, const char* text) {
  ifreq request{};
  std::snprintf(request.ifr_name, sizeof request.ifr_name, "%s:1", name);
  const Address address = Parse(text, 0);
  std::memcpy(&request.ifr_addr, &address.storage, sizeof(sockaddr_in));
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  return ioctl(fd, SIOCSIFADDR, &request) == 0 ? 0 : Fail("add an address");
}

// What the kernel leaves to the device (ethtool -k).
int Offloads(const char* name) {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  for (const auto& [command, what] :
       {std::pair<uint32_t, const char*>(ETHTOOL_GRXCSUM, "receive checksums"),
        {ETHTOOL_GTXCSUM, "send checksums"},
        {ETHTOOL_GSG, "scatter"},
        {ETHTOOL_GTSO, "segments"}}) {
    ethtool_value value{command, 0};
    ifreq request{};
    std::snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    request.ifr_data = reinterpret_cast<char*>(&value);
    if (ioctl(fd, SIOCETHTOOL, &request) != 0) return Fail(what);
    std::printf("%s %s\n", what, value.data != 0 ? "on" : "off");
  }
  return 0;
}

int Show() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return Fail("getifaddrs");
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr) continue;
    char text[64];
    const int family = entry->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    getnameinfo(entry->ifa_addr, family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6),
                text, sizeof text, nullptr, 0, NI_NUMERICHOST);
    std::printf("%s %s%s\n", entry->ifa_name, text, (entry->ifa_flags & IFF_UP) ? " up" : "");
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  auto number = [&](int i) { return i < argc ? strtoull(argv[i], nullptr, 10) : 0; };
  auto port = [&](int i) { return static_cast<uint16_t>(number(i)); };
  // The bound for whatever hangs.
  alarm(2 * kPatienceSeconds);
  int fd = -1;
  if (what == "show") return Show();
  if (what == "offloads" && argc > 2) return Offloads(argv[2]);
  if (what == "add" && argc > 3) return AddAddress(argv[2], argv[3]);
  if (what == "ping" && argc > 2) return Ping(argv[2]);
  if (what == "udp" && argc > 4) return Udp(argv[2], port(3), number(4), argv[5]);
  if (what == "echo" && argc > 2) return Echo(port(2));
  if (what == "push" && argc > 4)
    return (fd = Connect(argv[2], port(3))) < 0 ? Fail("connect") : Push(fd, number(4));
  if (what == "pull" && argc > 3)
    return (fd = Connect(argv[2], port(3))) < 0 ? Fail("connect") : Take(fd);
  if (what == "take" && argc > 2) return (fd = Accept(port(2))) < 0 ? Fail("accept") : Take(fd);
  if (what == "give" && argc > 3)
    return (fd = Accept(port(2))) < 0 ? Fail("accept") : Push(fd, number(3));
  std::puts(
      "net_probe show | offloads NAME | add NAME A | ping A | udp A PORT BYTES [FROM] | echo PORT "
      "| push A PORT "
      "BYTES | pull A PORT"
      " | take PORT | give PORT BYTES");
  return 2;
}
