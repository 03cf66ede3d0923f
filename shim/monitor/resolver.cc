#include "shim/monitor/resolver.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <sstream>

#include "base/file.h"
#include "base/log.h"
#include "base/relay.h"
#include "base/socket.h"
#include "rpc/datagram.h"
#include "shim/network/namespace.h"

namespace holt::shim {
namespace {

using base::Result;
using base::Status;
using base::UniqueFd;

constexpr char kAddress[] = "127.0.0.11";
constexpr uint16_t kPort = 53;
constexpr auto kPatience = std::chrono::seconds(30);
constexpr size_t kMaxResolvConf = 64 << 10;

}  // namespace

// What one connection of the guest's leads to. Ends by itself, after kPatience at the latest.
class Resolver::Flow : public std::enable_shared_from_this<Flow> {
 public:
  Flow(Resolver& owner, UniqueFd guest, UniqueFd resolver)
      : loop_(owner.loop_),
        owner_(owner),
        guest_(std::move(guest)),
        resolver_(std::move(resolver)) {
    timer_ = loop_.AddTimer(kPatience, [this] { End(); });
  }
  virtual ~Flow() { loop_.CancelTimer(timer_); }
  virtual Status Start() = 0;

 protected:
  void End() {
    // Not from within itself.
    loop_.Post([owner = &owner_, weak = weak_from_this()] {
      if (auto flow = weak.lock()) owner->flows_.erase(flow);
    });
  }

  base::EventLoop& loop_;
  Resolver& owner_;
  UniqueFd guest_;
  UniqueFd resolver_;

 private:
  base::EventLoop::TimerId timer_ = 0;
};

// A datagram and its answer.
class Resolver::Query : public Flow {
 public:
  using Flow::Flow;
  ~Query() override {
    loop_.RemoveFd(guest_.get());
    loop_.RemoveFd(resolver_.get());
  }
  Status Start() override {
    return loop_.AddFd(guest_.get(), EPOLLIN, [this](uint32_t) {
      if (answering_) return Answer();
      Ask();
    });
  }

 private:
  void Ask() {
    char buffer[4096];
    const ssize_t n = recv(guest_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) return End();
    bytes_.append(buffer, static_cast<size_t>(n));
    const auto question = rpc::TakeDatagram(bytes_);
    if (!question) return;
    // Until the answer is there only the guest's leaving is of interest.
    if (send(resolver_.get(), question->data(), question->size(), MSG_DONTWAIT) < 0 ||
        !loop_.ModifyFd(guest_.get(), 0) ||
        !loop_.AddFd(resolver_.get(), EPOLLIN, [this](uint32_t) { TakeAnswer(); }))
      End();
    answering_ = true;
  }
  void TakeAnswer() {
    char buffer[rpc::kMaxDatagram];
    const ssize_t n = recv(resolver_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    // ECONNREFUSED: nobody listens there.
    if (n < 0) return End();
    loop_.RemoveFd(resolver_.get());
    bytes_ = rpc::FrameDatagram(std::string_view(buffer, static_cast<size_t>(n)));
    if (!loop_.ModifyFd(guest_.get(), EPOLLOUT)) End();
  }
  void Answer() {
    const ssize_t n = send(guest_.get(), bytes_.data(), bytes_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n > 0) bytes_.erase(0, static_cast<size_t>(n));
    if (n <= 0 || bytes_.empty()) End();
  }

  std::string bytes_;
  bool answering_ = false;
};

// A connection, byte for byte.
class Resolver::Connection : public Flow {
 public:
  using Flow::Flow;
  ~Connection() override {
    if (auto relay = relay_.lock()) relay->Abort();
  }
  Status Start() override {
    TRY_ASSIGN(relay_, base::Relay::Start(loop_, std::move(guest_), std::move(resolver_),
                                          [this, weak = weak_from_this()] {
                                            if (!weak.expired()) End();
                                          }));
    return {};
  }

 private:
  std::weak_ptr<base::Relay> relay_;
};

Result<std::unique_ptr<Resolver>> Resolver::Start(base::EventLoop& loop, UniqueFd datagrams,
                                                  UniqueFd connections, int network_namespace) {
  std::unique_ptr<Resolver> resolver(new Resolver(loop, network_namespace));
  resolver->datagrams_ = std::move(datagrams);
  resolver->connections_ = std::move(connections);
  Resolver* raw = resolver.get();
  TRY(loop.AddFd(raw->datagrams_.get(), EPOLLIN,
                 [raw](uint32_t) { raw->OnAccept<Query>(raw->datagrams_.get(), SOCK_DGRAM); }));
  TRY(loop.AddFd(raw->connections_.get(), EPOLLIN, [raw](uint32_t) {
    raw->OnAccept<Connection>(raw->connections_.get(), SOCK_STREAM);
  }));
  return resolver;
}

Resolver::~Resolver() {
  loop_.RemoveFd(datagrams_.get());
  loop_.RemoveFd(connections_.get());
}

template <typename Kind>
void Resolver::OnAccept(int listener, int type) {
  auto guest = base::AcceptUnix(listener);
  if (!guest || flows_.size() >= kMaxAtOnce) return;
  auto resolver = Dial(type);
  if (!resolver) return base::log::Debug("resolver: {}", resolver.error().message());
  auto flow = std::make_shared<Kind>(*this, std::move(*guest), std::move(*resolver));
  if (auto started = flow->Start(); !started)
    return base::log::Debug("resolver: {}", started.error().message());
  flows_.insert(std::move(flow));
}

// A connection on loopback is there at once or refused.
Result<UniqueFd> Resolver::Dial(int type) const {
  UniqueFd out;
  TRY(network::RunInNamespace(namespace_, [&]() -> Status {
    out = UniqueFd(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(kPort);
    inet_pton(AF_INET, kAddress, &address.sin_addr);
    // SAFETY: sockets take every kind of address as a sockaddr.
    if (!out || (connect(out.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 &&
                 errno != EINPROGRESS))
      return HOLT_ERRNO("connect to {}", kAddress);
    return {};
  }));
  return out;
}

bool NamesDockersResolver(const std::string& resolv_conf) {
  std::istringstream lines(resolv_conf);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string keyword, address;
    if (words >> keyword >> address && keyword == "nameserver" && address == kAddress) return true;
  }
  return false;
}

bool UsesDockersResolver(const oci::Config& config, const std::string& share) {
  for (const oci::Mount& mount : config.mounts) {
    if (mount.destination != "/etc/resolv.conf") continue;
    // Whatever is bound there: a FIFO is not waited for.
    auto file = base::Open(share + "/" + mount.source, O_RDONLY | O_NONBLOCK);
    auto text = file ? base::ReadFd(file->get(), kMaxResolvConf) : std::move(file).error();
    return NamesDockersResolver(text.value_or(""));
  }
  return false;
}

}  // namespace holt::shim
