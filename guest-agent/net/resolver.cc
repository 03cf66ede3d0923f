#include "guest-agent/net/resolver.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "guest-agent/net/resolver_redirect.h"
#include "guest-agent/stream/pump.h"
#include "guest-agent/stream/vsock.h"
#include "rpc/datagram.h"

namespace holt::guest_agent {
namespace {

using base::Result;
using base::UniqueFd;

// Longer than any program waits for an answer before it asks again.
constexpr auto kPatience = std::chrono::seconds(20);
constexpr int kBacklog = 128;

// On the resolver's address and a free port.
Result<std::pair<UniqueFd, uint16_t>> Bind(int type) {
  UniqueFd socket(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return HOLT_ERRNO("socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(kResolverAddress);
  socklen_t size = sizeof address;
  // SAFETY: sockets take every kind of address as a sockaddr.
  auto* any = reinterpret_cast<sockaddr*>(&address);
  if (bind(socket.get(), any, size) != 0) return HOLT_ERRNO("bind to the resolver's address");
  if (type == SOCK_STREAM && listen(socket.get(), kBacklog) != 0) return HOLT_ERRNO("listen");
  if (getsockname(socket.get(), any, &size) != 0) return HOLT_ERRNO("which port it is");
  return std::pair(std::move(socket), ntohs(address.sin_port));
}

Result<uint64_t> NetnsCookie(int socket) {
  uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (getsockopt(socket, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0)
    return HOLT_ERRNO("which network namespace this is");
  return cookie;
}

}  // namespace

// One question and its answer: to the host as a frame on a connection of its own, and back.
class Resolver::Query {
 public:
  Query(Resolver& owner, const sockaddr_in& client, std::string_view question)
      : owner_(owner), client_(client), out_(rpc::FrameDatagram(question)) {}
  ~Query() {
    if (socket_) owner_.loop_.RemoveFd(socket_.get());
    owner_.loop_.CancelTimer(timer_);
  }

  base::Status Start(std::function<void()> on_end) {
    on_end_ = std::move(on_end);
    timer_ = owner_.loop_.AddTimer(kPatience, [this] { End(); });
    TRY_ASSIGN(socket_, BeginDialHost(kResolverUdpPort));
    return owner_.loop_.AddFd(socket_.get(), EPOLLOUT, [this](uint32_t events) {
      if (!sent_) return Send();
      if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) Receive();
    });
  }

 private:
  void Send() {
    const ssize_t n = send(socket_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0) return End();
    out_.erase(0, static_cast<size_t>(n));
    if (!out_.empty()) return;
    sent_ = true;
    if (!owner_.loop_.ModifyFd(socket_.get(), EPOLLIN)) End();
  }
  void Receive() {
    char buffer[4096];
    const ssize_t n = read(socket_.get(), buffer, sizeof buffer);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) return End();
    in_.append(buffer, static_cast<size_t>(n));
    const auto answer = rpc::TakeDatagram(in_);
    if (!answer) return;
    (void)sendto(owner_.udp_.get(), answer->data(), answer->size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                 reinterpret_cast<const sockaddr*>(&client_), sizeof client_);
    End();
  }
  void End() { on_end_(); }  // the last: this is gone

  Resolver& owner_;
  sockaddr_in client_;
  std::string out_;
  std::string in_;
  bool sent_ = false;
  UniqueFd socket_;
  base::EventLoop::TimerId timer_ = 0;
  std::function<void()> on_end_;
};

// A connection of a container's, until the host's side is there; then two pumps have it.
class Resolver::Connection : public std::enable_shared_from_this<Connection> {
 public:
  static void Start(base::EventLoop& loop, UniqueFd client, std::shared_ptr<size_t> count) {
    std::shared_ptr<Connection> self(new Connection(loop, std::move(client), std::move(count)));
    auto host = BeginDialHost(kResolverTcpPort);
    if (!host) return base::log::Debug("resolver: {}", host.error().message());
    self->host_ = std::move(*host);
    (void)loop.AddFd(self->host_.get(), EPOLLOUT, [self](uint32_t events) mutable {
      auto keep = std::move(self);
      keep->loop_.RemoveFd(keep->host_.get());
      if ((events & (EPOLLERR | EPOLLHUP)) == 0) keep->Join();
    });
  }
  ~Connection() { --*count_; }

 private:
  Connection(base::EventLoop& loop, UniqueFd client, std::shared_ptr<size_t> count)
      : loop_(loop), client_(std::move(client)), count_(std::move(count)) {
    ++*count_;
  }
  void Join() {
    UniqueFd client(fcntl(client_.get(), F_DUPFD_CLOEXEC, 0));
    UniqueFd host(fcntl(host_.get(), F_DUPFD_CLOEXEC, 0));
    if (!client || !host) return;
    auto keep = [self = shared_from_this()] {};
    (void)Pump::Start(loop_, Pump::Kind::kOutput, std::move(client_), std::move(host), keep);
    (void)Pump::Start(loop_, Pump::Kind::kOutput, std::move(host_), std::move(client), keep);
  }

  base::EventLoop& loop_;
  UniqueFd client_;
  UniqueFd host_;
  std::shared_ptr<size_t> count_;
};

Result<std::unique_ptr<Resolver>> Resolver::Start(base::EventLoop& loop, int cgroup) {
  std::unique_ptr<Resolver> resolver(new Resolver(loop));
  TRY_ASSIGN(auto udp, Bind(SOCK_DGRAM));
  TRY_ASSIGN(auto tcp, Bind(SOCK_STREAM));
  resolver->udp_ = std::move(udp.first);
  resolver->tcp_ = std::move(tcp.first);
  ResolverPorts ports{.udp = udp.second, .tcp = tcp.second};
  TRY_ASSIGN(ports.netns_cookie, NetnsCookie(resolver->udp_.get()));
  Resolver* raw = resolver.get();
  TRY(loop.AddFd(raw->udp_.get(), EPOLLIN, [raw](uint32_t) { raw->OnDatagram(); }));
  TRY(loop.AddFd(raw->tcp_.get(), EPOLLIN, [raw](uint32_t) { raw->OnConnection(); }));
  TRY(RedirectResolver(cgroup, ports));
  return resolver;
}

Resolver::~Resolver() {
  for (UniqueFd* socket : {&udp_, &tcp_})
    if (*socket) loop_.RemoveFd(socket->get());
}

void Resolver::OnDatagram() {
  char buffer[rpc::kMaxDatagram];
  sockaddr_in client{};
  socklen_t size = sizeof client;
  const ssize_t n = recvfrom(udp_.get(), buffer, sizeof buffer, MSG_DONTWAIT,
                             reinterpret_cast<sockaddr*>(&client), &size);
  if (n < 0 || queries_.size() >= kMaxAtOnce) return;
  auto query =
      std::make_shared<Query>(*this, client, std::string_view(buffer, static_cast<size_t>(n)));
  queries_.insert(query);
  std::weak_ptr<Query> weak = query;
  auto forget = [this, weak] {
    // Not from within itself.
    loop_.Post([this, weak] { queries_.erase(weak.lock()); });
  };
  if (auto started = query->Start(forget); !started) {
    base::log::Debug("resolver: {}", started.error().message());
    queries_.erase(query);
  }
}

void Resolver::OnConnection() {
  UniqueFd client(accept4(tcp_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!client || *connections_ >= kMaxAtOnce) return;
  Connection::Start(loop_, std::move(client), connections_);
}

}  // namespace holt::guest_agent
