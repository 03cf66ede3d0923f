#include "shim/monitor/output_stream.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "base/file.h"

namespace holt::shim {
namespace {

// How many idle periods output that nobody came for is kept after the process ended.
constexpr int kMaxHeldChecks = 10;

// Without waiting, to a socket, or to a pipe that does not block.
ssize_t SendOrWrite(int fd, std::string_view data) {
  const ssize_t sent = send(fd, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent < 0 && errno == ENOTSOCK ? write(fd, data.data(), data.size()) : sent;
}

}  // namespace

OutputStream::~OutputStream() {
  on_end_ = nullptr;
  Abort();
}

void OutputStream::SetSource(base::UniqueFd source) {
  source_ = std::move(source);
  had_source_ = true;
  // A socket we own alone, so this changes nobody else's.
  (void)base::SetNonblocking(source_.get(), true);
  UpdateWatch();
  CheckClients();
}

void OutputStream::CheckClients() {
  if (!end_with_clients_ || !clients_.empty() || !source_) return;
  CloseSource();
  FinishIfDone();
}

bool OutputStream::MayRead() const {
  if (!source_ || hold_) return false;
  for (const auto& [fd, client] : clients_)
    if (client->waiting() >= kMaxPending) return false;
  return true;
}

void OutputStream::UpdateWatch() {
  bool want = MayRead();
  if (want == watching_ || !source_) return;
  if (want) {
    watching_ =
        static_cast<bool>(loop_.AddFd(source_.get(), EPOLLIN, [this](uint32_t) { ReadSource(); }));
  } else {
    loop_.RemoveFd(source_.get());
    watching_ = false;
  }
}

void OutputStream::ReadSource() {
  static std::array<char, 64 << 10> buffer;  // one loop, one thread
  ssize_t n = read(source_.get(), buffer.data(), buffer.size());
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    CloseSource();
    return FinishIfDone();
  }
  std::string_view data(buffer.data(), static_cast<size_t>(n));
  bytes_ += data.size();
  if (sink_) sink_(data);
  std::vector<int> gone;
  for (auto& [fd, client] : clients_) {
    Deliver(*client, data);
    if (!client->fd) gone.push_back(fd);
  }
  for (int fd : gone) clients_.erase(fd);
  UpdateWatch();
  CheckClients();
}

void OutputStream::Deliver(Client& client, std::string_view data) {
  bool was_waiting = client.waiting() > 0;
  client.pending.append(data);
  if (was_waiting) return;
  int fd = client.fd.get();
  if (!Flush(client)) {
    loop_.RemoveFd(fd);
    client.fd.Reset();
    return;
  }
  if (client.waiting() > 0) (void)loop_.ModifyFd(fd, EPOLLOUT);
}

bool OutputStream::Flush(Client& client) {
  while (client.waiting() > 0) {
    ssize_t n = SendOrWrite(client.fd.get(), std::string_view(client.pending).substr(client.sent));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n <= 0) return false;
    client.sent += static_cast<size_t>(n);
  }
  if (client.waiting() == 0) {
    client.pending.clear();
    client.sent = 0;
  } else if (client.sent > kMaxPending) {
    client.pending.erase(0, client.sent);
    client.sent = 0;
  }
  return true;
}

void OutputStream::AddClient(base::UniqueFd client) {
  hold_ = false;
  if (ended_ || (had_source_ && !source_)) return;
  int fd = client.get();
  auto entry = std::make_unique<Client>();
  entry->fd = std::move(client);
  Client* raw = entry.get();
  // Without pending bytes only the peer's going away is of interest.
  auto status = loop_.AddFd(fd, 0, [this, fd, raw](uint32_t events) {
    if ((events & (EPOLLHUP | EPOLLERR)) != 0 || !Flush(*raw)) return DropClient(fd);
    if (raw->waiting() == 0) (void)loop_.ModifyFd(fd, 0);
    UpdateWatch();
    FinishIfDone();
  });
  if (!status) return;
  clients_[fd] = std::move(entry);
  UpdateWatch();
}

void OutputStream::DropClient(int fd) {
  loop_.RemoveFd(fd);
  clients_.erase(fd);
  UpdateWatch();
  CheckClients();
  FinishIfDone();
}

void OutputStream::CloseSource() {
  if (!source_) return;
  if (watching_) loop_.RemoveFd(source_.get());
  watching_ = false;
  source_.Reset();
}

void OutputStream::ProcessExited(std::chrono::milliseconds idle) {
  process_exited_ = true;
  idle_ = idle;
  bytes_at_check_ = bytes_;
  if (!source_) return FinishIfDone();
  idle_timer_ = loop_.AddTimer(idle_, [this] { CheckIdle(); });
}

void OutputStream::CheckIdle() {
  idle_timer_ = 0;
  if (ended_) return;
  bool held = hold_ && ++held_checks_ < kMaxHeldChecks;
  bool idle = (MayRead() || hold_) && bytes_ == bytes_at_check_;
  if (source_ && idle && !held) {
    CloseSource();
    return FinishIfDone();
  }
  bytes_at_check_ = bytes_;
  if (source_) idle_timer_ = loop_.AddTimer(idle_, [this] { CheckIdle(); });
}

void OutputStream::FinishIfDone() {
  if (ended_ || source_ || !(had_source_ || process_exited_)) return;
  std::vector<int> done;
  for (auto& [fd, client] : clients_)
    if (client->waiting() == 0) done.push_back(fd);
  for (int fd : done) {
    loop_.RemoveFd(fd);
    clients_.erase(fd);
  }
  if (!clients_.empty()) return;
  ended_ = true;
  if (idle_timer_ != 0) loop_.CancelTimer(idle_timer_);
  idle_timer_ = 0;
  auto callback = std::move(on_end_);
  on_end_ = nullptr;
  if (callback) callback();
}

void OutputStream::OnEnd(std::function<void()> callback) {
  if (ended_) return callback();
  on_end_ = std::move(callback);
}

void OutputStream::Abort() {
  CloseSource();
  for (auto& [fd, client] : clients_) loop_.RemoveFd(fd);
  clients_.clear();
  process_exited_ = true;
  FinishIfDone();
}

}  // namespace holt::shim
