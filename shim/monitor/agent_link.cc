#include "shim/monitor/agent_link.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/file.h"
#include "base/log.h"
#include "base/socket.h"
#include "oci/json_binding.h"

namespace holt::shim {

namespace {

using base::UniqueFd;

constexpr uint32_t kRpcPort = 1024;
constexpr uint32_t kStreamPort = 1025;
constexpr uint32_t kReadyPort = 1024;
constexpr size_t kMaxReadyLine = 4096;
constexpr auto kDialDeadline = std::chrono::seconds(20);

struct ReadyMessage {
  bool ready = false;
  std::string version;
  int64_t boot_us = 0;
  std::string error;
};
template <typename A>
void Describe(A& a, ReadyMessage& x) {
  a("ready", x.ready);
  a("version", x.version);
  a("boot_us", x.boot_us);
  a("error", x.error);
}

}  // namespace

// One `CONNECT <port>` on its way.
class AgentLink::Dial : public std::enable_shared_from_this<AgentLink::Dial> {
 public:
  using Done = std::function<void(base::Result<UniqueFd>)>;
  Dial(base::EventLoop& loop, uint32_t port, std::string greeting, Done done)
      : loop_(loop), port_(port), greeting_(std::move(greeting)), done_(std::move(done)) {}
  ~Dial() { Unwatch(); }

  void Start(const std::string& path) {
    // holt-vmm may hang; its backlog may be full. The loop does not wait for it.
    auto socket = base::ConnectUnix(path, SOCK_NONBLOCK);
    if (!socket) return FinishLater(socket.error());
    socket_ = std::move(*socket);
    if (auto status = base::WriteFd(socket_.get(), fmt::format("CONNECT {}\n", port_)); !status)
      return FinishLater(status.error());
    watched_ = true;
    if (auto status = loop_.AddFd(socket_.get(), EPOLLIN, [this](uint32_t) { Read(); }); !status)
      return FinishLater(status.error());
    timer_ = loop_.AddTimer(kDialDeadline, [this] {
      timer_ = 0;
      Finish(base::Error(base::Code::kDeadlineExceeded, "no answer in time"));
    });
  }
  bool finished() const { return !done_; }

 private:
  void Read() {
    // A byte at a time: what follows the line belongs to the stream.
    char c;
    while (true) {
      ssize_t n = read(socket_.get(), &c, 1);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return;
      if (n <= 0)
        return Finish(base::Error(base::Code::kUnavailable, "the guest refused the connection"));
      if (c == '\n') break;
      line_ += c;
      if (line_.size() > 32) return Finish(base::Error(base::Code::kDataLoss, "malformed answer"));
    }
    if (!line_.starts_with("OK "))
      return Finish(base::Error(base::Code::kUnavailable, "the guest refused the connection"));
    Unwatch();
    if (!greeting_.empty()) {
      // A few bytes into an empty socket buffer: they fit.
      if (auto status = base::WriteFd(socket_.get(), greeting_); !status)
        return Finish(status.error());
    }
    Finish(std::move(socket_));
  }

  void Unwatch() {
    if (watched_) loop_.RemoveFd(socket_.get());
    watched_ = false;
    if (timer_ != 0) loop_.CancelTimer(timer_);
    timer_ = 0;
  }

  void Finish(base::Result<UniqueFd> result) {
    auto self = shared_from_this();
    Unwatch();
    auto done = std::move(done_);
    done_ = nullptr;
    if (!result) result = result.error().Wrap(fmt::format("vsock port {}", port_));
    if (done) done(std::move(result));
  }

  void FinishLater(base::Error error) {
    loop_.Post([self = shared_from_this(), error = std::move(error)] {
      if (!self->finished()) self->Finish(error);
    });
  }

  base::EventLoop& loop_;
  uint32_t port_;
  std::string greeting_;
  Done done_;
  UniqueFd socket_;
  std::string line_;
  bool watched_ = false;
  base::EventLoop::TimerId timer_ = 0;
};

base::Result<std::unique_ptr<AgentLink>> AgentLink::Create(base::EventLoop& loop,
                                                           const std::string& directory,
                                                           uid_t owner, Handlers handlers) {
  std::unique_ptr<AgentLink> link(new AgentLink(loop, directory, owner, std::move(handlers)));
  if (mkdir(directory.c_str(), 0700) != 0) return HOLT_ERRNO("mkdir {}", directory);
  TRY_ASSIGN(link->directory_fd_, base::Open(directory, O_PATH | O_DIRECTORY));
  TRY_ASSIGN(link->listener_, base::ListenUnix(directory + "/" + kSocketName));
  TRY_ASSIGN(link->ready_listener_, link->ListenForGuest(kReadyPort));
  if (chown(directory.c_str(), owner, owner) != 0) return HOLT_ERRNO("chown {}", directory);
  AgentLink* raw = link.get();
  TRY(loop.AddFd(link->ready_listener_.get(), EPOLLIN, [raw](uint32_t) { raw->OnAccept(); }));
  return link;
}

base::Result<UniqueFd> AgentLink::ListenForGuest(uint32_t port) const {
  const std::string path = fmt::format("{}/{}_{}", path_, kSocketName, port);
  TRY_ASSIGN(UniqueFd listener, base::ListenUnix(path));
  // holt-vmm connects to it, so it must own it; nobody else can reach the directory.
  if (chown(path.c_str(), owner_, owner_) != 0) return HOLT_ERRNO("chown {}", path);
  return listener;
}

AgentLink::~AgentLink() {
  alive_.reset();
  if (ready_listener_) loop_.RemoveFd(ready_listener_.get());
  if (ready_) loop_.RemoveFd(ready_.get());
}

void AgentLink::OnAccept() {
  auto socket = base::AcceptUnix(ready_listener_.get());
  if (!socket) return;
  // One agent, one connection; it speaks first.
  loop_.RemoveFd(ready_listener_.get());
  ready_listener_.Reset();
  ready_ = std::move(*socket);
  (void)loop_.AddFd(ready_.get(), EPOLLIN, [this](uint32_t) { OnReadyData(); });
}

void AgentLink::OnReadyData() {
  char buffer[512];
  ssize_t n = read(ready_.get(), buffer, sizeof buffer);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0 || ready_line_.size() + static_cast<size_t>(n) > kMaxReadyLine) {
    loop_.RemoveFd(ready_.get());
    ready_.Reset();
    if (handlers_.on_lost) handlers_.on_lost();
    return;
  }
  if (ready_seen_) return;  // nothing more is expected
  ready_line_.append(buffer, static_cast<size_t>(n));
  size_t newline = ready_line_.find('\n');
  if (newline == std::string::npos) return;
  ready_seen_ = true;
  OnReadyLine(ready_line_.substr(0, newline));
}

void AgentLink::OnReadyLine(const std::string& line) {
  auto on_ready = std::move(handlers_.on_ready);
  auto parsed = oci::ParseJsonText(line, "the agent's first message", kMaxReadyLine, 4);
  if (!parsed) return on_ready(parsed.error());
  ReadyMessage message;
  oci::JsonReader reader;
  reader.ReadRoot(*parsed, message);
  if (auto status = reader.status(); !status)
    return on_ready(status.error().Wrap("the agent's first message"));
  if (!message.error.empty() || !message.ready)
    return on_ready(base::Error(base::Code::kInternal, base::log::Sanitize(message.error)));
  Connect(kRpcPort, "", [this, on_ready, message](base::Result<UniqueFd> socket) {
    if (!socket) return on_ready(socket.error());
    auto client = rpc::Client::Create(loop_, std::move(*socket));
    if (!client) return on_ready(client.error());
    client_ = std::move(*client);
    on_ready(Ready{message.version, message.boot_us});
  });
}

void AgentLink::Connect(uint32_t port, std::string greeting,
                        std::function<void(base::Result<UniqueFd>)> done) {
  std::erase_if(dials_, [](const auto& dial) { return dial->finished(); });
  std::weak_ptr<bool> alive = alive_;
  auto dial =
      std::make_shared<Dial>(loop_, port, std::move(greeting),
                             [alive, done = std::move(done)](base::Result<UniqueFd> result) {
                               if (!alive.expired()) done(std::move(result));
                             });
  dials_.push_back(dial);
  dial->Start(path_ + "/" + kSocketName);
}

void AgentLink::OpenStream(std::function<void(base::Result<Stream>)> done) {
  uint64_t id = next_stream_++;
  std::string greeting(sizeof id, '\0');
  std::memcpy(greeting.data(), &id, sizeof id);  // little-endian, as x86-64 and aarch64 are
  Connect(kStreamPort, std::move(greeting),
          [id, done = std::move(done)](base::Result<UniqueFd> fd) {
            if (!fd) return done(std::move(fd).error());
            done(Stream{id, std::move(*fd)});
          });
}

}  // namespace holt::shim
