#include "guest-agent/stream/park.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "base/log.h"

namespace holt::guest_agent {

using base::Code;
using base::MakeError;
using base::UniqueFd;

StreamPark::~StreamPark() {
  while (!parked_.empty()) Drop(parked_.begin()->first);
  for (auto& [key, order] : orders_) loop_.CancelTimer(order->timer);
}

void StreamPark::Park(UniqueFd connection) {
  if (parked_.size() >= kMaxParked) {
    base::log::Warning("a stream that nobody named gives way to a new one");
    Drop(parked_.begin()->first);
  }
  uint64_t key = next_key_++;
  int fd = connection.get();
  Parked& parked = parked_[key];
  parked.fd = std::move(connection);
  parked.timer = loop_.AddTimer(patience_, [this, key] {
    parked_.at(key).timer = 0;
    // A call that waits for others besides it decides its fate.
    if (IsAwaited(parked_.at(key).id)) return;
    base::log::Warning("a stream was not named in time");
    Drop(key);
  });
  if (auto status = loop_.AddFd(fd, EPOLLIN, [this, key](uint32_t) { ReadId(key); }); !status) {
    base::log::Error("stream: {}", status.error().message());
    Drop(key);
  }
}

void StreamPark::ReadId(uint64_t key) {
  Parked& parked = parked_.at(key);
  // Exactly the id: what follows it belongs to the process.
  ssize_t n = recv(parked.fd.get(), parked.bytes + parked.received, 8 - parked.received, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return Drop(key);
  parked.received += static_cast<size_t>(n);
  if (parked.received < sizeof parked.bytes) return;
  loop_.RemoveFd(parked.fd.get());
  uint64_t id;
  std::memcpy(&id, parked.bytes, sizeof id);  // little-endian, as x86-64 and aarch64 are
  if (id == 0 || Find(id) != nullptr) {
    base::log::Warning("stream id {} is not usable or here already", id);
    return Drop(key);
  }
  parked.id = id;
  ServeAny();
}

void StreamPark::Drop(uint64_t key) {
  auto it = parked_.find(key);
  if (it == parked_.end()) return;
  loop_.CancelTimer(it->second.timer);
  loop_.RemoveFd(it->second.fd.get());
  parked_.erase(it);
}

StreamPark::Parked* StreamPark::Find(uint64_t id) {
  for (auto& [key, parked] : parked_)
    if (parked.id == id) return &parked;
  return nullptr;
}

bool StreamPark::Serve(Order& order) {
  for (uint64_t id : order.ids)
    if (id != 0 && Find(id) == nullptr) return false;
  std::vector<UniqueFd> streams(order.ids.size());
  for (size_t i = 0; i < order.ids.size(); ++i) {
    if (order.ids[i] == 0) continue;
    auto it = std::find_if(parked_.begin(), parked_.end(),
                           [&](const auto& entry) { return entry.second.id == order.ids[i]; });
    streams[i] = std::move(it->second.fd);
    loop_.CancelTimer(it->second.timer);
    parked_.erase(it);
  }
  auto done = std::move(order.done);
  done(std::move(streams));
  return true;
}

void StreamPark::ServeAny() {
  for (auto it = orders_.begin(); it != orders_.end(); ++it) {
    auto order = it->second;
    bool complete = std::all_of(order->ids.begin(), order->ids.end(),
                                [this](uint64_t id) { return id == 0 || Find(id) != nullptr; });
    if (!complete) continue;
    loop_.CancelTimer(order->timer);
    orders_.erase(it);
    Serve(*order);
    return;  // one stream came, so at most one order is complete
  }
}

void StreamPark::Take(const std::vector<uint64_t>& ids, Taken done) {
  for (size_t i = 0; i < ids.size(); ++i) {
    bool used = std::count(ids.begin(), ids.end(), ids[i]) > 1 || IsAwaited(ids[i]);
    if (ids[i] != 0 && used)
      return done(MakeError(Code::kInvalidArgument, "stream {} is named twice", ids[i]));
  }
  auto order = std::make_shared<Order>(Order{ids, std::move(done), 0});
  if (Serve(*order)) return;
  uint64_t key = next_key_++;
  orders_[key] = order;
  order->timer = loop_.AddTimer(patience_, [this, key] { OnTooLate(key); });
}

bool StreamPark::IsAwaited(uint64_t id) const {
  return std::any_of(orders_.begin(), orders_.end(), [id](const auto& entry) {
    const auto& ids = entry.second->ids;
    return id != 0 && std::count(ids.begin(), ids.end(), id) > 0;
  });
}

void StreamPark::OnTooLate(uint64_t order_key) {
  auto late = orders_.extract(order_key).mapped();
  uint64_t missing = 0;
  for (uint64_t id : late->ids)
    if (id != 0 && Find(id) == nullptr) missing = id;
  std::erase_if(parked_, [&](auto& entry) {
    if (std::count(late->ids.begin(), late->ids.end(), entry.second.id) == 0) return false;
    if (entry.second.id == 0) return false;
    loop_.CancelTimer(entry.second.timer);
    return true;
  });
  late->done(MakeError(Code::kDeadlineExceeded, "stream {} did not arrive in time", missing));
}

}  // namespace holt::guest_agent
