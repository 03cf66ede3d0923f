#include "shim/monitor/input_stream.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"

namespace holt::shim {
namespace {

constexpr size_t kChunk = 64 << 10;

}  // namespace

void InputStream::SetTarget(base::UniqueFd target) {
  target_ = std::move(target);
  had_target_ = true;
  (void)base::SetNonblocking(target_.get(), true);
  auto status = loop_.AddFd(target_.get(), 0, [this](uint32_t events) {
    // The process closed its input, or is gone: nobody needs to feed it any more.
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) return Close();
    WriteTarget();
  });
  if (!status) return Close();
  UpdateWatches();
  if (ending_ && pending_.empty()) EndOfInput();
}

void InputStream::AddClient(base::UniqueFd client) {
  if (ended_ || (had_target_ && !target_)) return;
  int fd = client.get();
  clients_[fd] = Client{std::move(client)};
  UpdateWatches();
}

void InputStream::UpdateWatches() {
  bool want = target_ && pending_.empty() && !ending_;
  for (auto& [fd, client] : clients_) {
    if (want == client.watched) continue;
    if (want) {
      client.watched = static_cast<bool>(
          loop_.AddFd(fd, EPOLLIN, [this, fd = fd](uint32_t) { ReadClient(fd); }));
    } else {
      loop_.RemoveFd(fd);
      client.watched = false;
    }
  }
}

void InputStream::ReadClient(int fd) {
  pending_.resize(kChunk);
  sent_ = 0;
  ssize_t n = read(fd, pending_.data(), pending_.size());
  int err = errno;
  pending_.resize(n > 0 ? static_cast<size_t>(n) : 0);
  if (n < 0 && (err == EAGAIN || err == EINTR)) return;
  if (n <= 0) {
    if (terminal_) return DropClient(fd);
    // The client stays: its closing would look like the end of everything to it.
    return EndOfInput();
  }
  WriteTarget();
}

void InputStream::WriteTarget() {
  while (sent_ < pending_.size()) {
    ssize_t n = send(target_.get(), pending_.data() + sent_, pending_.size() - sent_,
                     MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      (void)loop_.ModifyFd(target_.get(), EPOLLOUT);
      return UpdateWatches();
    }
    if (n <= 0) return Close();
    sent_ += static_cast<size_t>(n);
  }
  pending_.clear();
  sent_ = 0;
  (void)loop_.ModifyFd(target_.get(), 0);
  if (ending_) return EndOfInput();
  UpdateWatches();
}

void InputStream::DropClient(int fd) {
  auto it = clients_.find(fd);
  if (it == clients_.end()) return;
  if (it->second.watched) loop_.RemoveFd(fd);
  clients_.erase(it);
}

void InputStream::EndOfInput() {
  ending_ = true;
  UpdateWatches();
  if (!target_ || !pending_.empty() || ended_) return;
  ended_ = true;
  shutdown(target_.get(), SHUT_WR);
}

void InputStream::Close() {
  for (auto& [fd, client] : clients_)
    if (client.watched) loop_.RemoveFd(fd);
  clients_.clear();
  if (target_) {
    loop_.RemoveFd(target_.get());
    target_.Reset();
  }
  ended_ = true;
  pending_.clear();
  sent_ = 0;
}

}  // namespace holt::shim
