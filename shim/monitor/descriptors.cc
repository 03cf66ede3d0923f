#include "shim/monitor/descriptors.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "base/socket.h"

namespace holt::shim {
namespace {

using agent::v1::Descriptor;
using base::UniqueFd;

Descriptor::Kind ForAgent(DescriptorKind kind) {
  switch (kind) {
    case DescriptorKind::kNull:
      return Descriptor::NULL_DEVICE;
    case DescriptorKind::kInput:
      return Descriptor::INPUT;
    case DescriptorKind::kOutput:
      return Descriptor::OUTPUT;
    case DescriptorKind::kConnection:
      return Descriptor::CONNECTION;
    case DescriptorKind::kListener:
      return Descriptor::LISTENER;
  }
  return Descriptor::NULL_DEVICE;
}

bool HasStream(DescriptorKind kind) {
  return kind != DescriptorKind::kNull && kind != DescriptorKind::kListener;
}

// The pipe once more, nonblocking: others have this one and do not expect that of it.
base::Result<UniqueFd> Reopen(int fd, int flags) {
  return base::Open(fmt::format("/proc/self/fd/{}", fd), flags | O_NONBLOCK);
}

void DescribeListener(int fd, Descriptor& out) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  // SAFETY: storage is made for every kind of address.
  auto* any = reinterpret_cast<sockaddr*>(&address);
  if (getsockname(fd, any, &size) != 0) return;
  out.set_family(address.ss_family);
  if (address.ss_family == AF_INET)
    out.set_port(ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port));
  if (address.ss_family == AF_INET6)
    out.set_port(ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port));
}

}  // namespace

base::Result<std::unique_ptr<Descriptors>> Descriptors::Make(base::EventLoop& loop,
                                                             std::vector<UniqueFd> fds) {
  std::unique_ptr<Descriptors> made(new Descriptors(loop));
  for (size_t i = 0; i < fds.size(); ++i)
    TRY_CONTEXT(made->Add(std::move(fds[i])), fmt::format("descriptor {}", i + 3));
  return made;
}

Descriptors::~Descriptors() {
  alive_.reset();
  on_end_ = nullptr;
  Abort();
}

base::Status Descriptors::Add(UniqueFd fd) {
  TRY_ASSIGN(const DescriptorKind kind, KindOfDescriptor(fd.get()));
  Given given{.kind = kind, .fd = {}, .input = nullptr, .output = nullptr};
  switch (kind) {
    case DescriptorKind::kNull:
      break;
    case DescriptorKind::kInput: {
      TRY_ASSIGN(UniqueFd pipe, Reopen(fd.get(), O_RDONLY));
      given.input = std::make_unique<InputStream>(loop_);
      given.input->AddClient(std::move(pipe));
      break;
    }
    case DescriptorKind::kOutput: {
      auto pipe = Reopen(fd.get(), O_WRONLY);
      given.output = std::make_unique<OutputStream>(loop_, nullptr);
      given.output->EndWithClients();
      // ENXIO: nobody reads it any more, which the process will see.
      if (!pipe && pipe.error().err() != ENXIO) return std::move(pipe).error();
      if (pipe) given.output->AddClient(std::move(*pipe));
      break;
    }
    case DescriptorKind::kListener:
      // Whoever else has it does not accept from it now.
      TRY(base::SetNonblocking(fd.get(), true));
      [[fallthrough]];
    case DescriptorKind::kConnection:
      given.fd = std::move(fd);
      break;
  }
  given_.push_back(std::move(given));
  return {};
}

size_t Descriptors::streams() const {
  size_t count = 0;
  for (const Given& given : given_)
    if (HasStream(given.kind)) ++count;
  return count;
}

google::protobuf::RepeatedPtrField<Descriptor> Descriptors::Describe(
    const std::vector<uint64_t>& ids) const {
  google::protobuf::RepeatedPtrField<Descriptor> out;
  size_t next = 0;
  for (const Given& given : given_) {
    Descriptor& descriptor = *out.Add();
    descriptor.set_kind(ForAgent(given.kind));
    if (HasStream(given.kind)) descriptor.set_stream(ids.at(next++));
    if (given.kind == DescriptorKind::kListener) DescribeListener(given.fd.get(), descriptor);
  }
  return out;
}

void Descriptors::Connect(std::vector<UniqueFd> streams) {
  size_t next = 0;
  for (Given& given : given_) {
    if (!HasStream(given.kind)) continue;
    UniqueFd stream = std::move(streams.at(next++));
    if (given.input) {
      given.input->SetTarget(std::move(stream));
    } else if (given.output) {
      given.output->SetSource(std::move(stream));
    } else {
      StartRelay(std::move(given.fd), std::move(stream), nullptr);
    }
  }
}

void Descriptors::StartRelay(UniqueFd connection, UniqueFd stream, std::shared_ptr<void> place) {
  const uint64_t id = next_relay_++;
  auto relay = base::Relay::Start(loop_, std::move(connection), std::move(stream),
                                  [this, id, place, alive = std::weak_ptr<bool>(alive_)] {
                                    if (alive.expired()) return;
                                    relays_.erase(id);
                                    CheckEnd();
                                  });
  if (!relay) return base::log::Warning("a descriptor: {}", relay.error().message());
  relays_[id] = *relay;
}

void Descriptors::OnArrival(std::function<void(Arrival)> callback) {
  on_arrival_ = std::move(callback);
  Watch();
}

void Descriptors::Join(Arrival arrival, UniqueFd stream) {
  if (exited_) return;
  StartRelay(std::move(arrival.connection), std::move(stream), std::move(arrival.place));
}

void Descriptors::Watch() {
  const bool want = on_arrival_ && !exited_ && connections_ < kMaxConnections;
  for (size_t i = 0; i < given_.size(); ++i) {
    Given& given = given_[i];
    if (given.kind != DescriptorKind::kListener || want == given.watched) continue;
    if (want) {
      given.watched = static_cast<bool>(
          loop_.AddFd(given.fd.get(), EPOLLIN, [this, i](uint32_t) { OnAccept(i); }));
    } else {
      loop_.RemoveFd(given.fd.get());
      given.watched = false;
    }
  }
}

void Descriptors::OnAccept(size_t index) {
  auto connection = base::AcceptUnix(given_[index].fd.get());
  if (!connection) return;
  ++connections_;
  std::shared_ptr<void> place(nullptr, [this, alive = std::weak_ptr<bool>(alive_)](void*) {
    if (alive.expired()) return;
    --connections_;
    Watch();
  });
  Watch();
  on_arrival_({index, std::move(*connection), std::move(place)});
}

void Descriptors::ProcessExited(std::chrono::milliseconds idle) {
  exited_ = true;
  Watch();
  for (Given& given : given_) {
    if (given.kind == DescriptorKind::kListener) given.fd.Reset();
    if (given.input) given.input->Close();
    if (!given.output) continue;
    given.output->OnEnd([this] { CheckEnd(); });
    given.output->ProcessExited(idle);
  }
  idle_ = loop_.AddTimer(idle, [this] {
    idle_ = 0;
    for (auto& [id, weak] : relays_)
      if (auto relay = weak.lock()) relay->Abort();
  });
  CheckEnd();
}

bool Descriptors::ended() const {
  if (!exited_ || !relays_.empty()) return false;
  for (const Given& given : given_)
    if (given.output && !given.output->ended()) return false;
  return true;
}

void Descriptors::OnEnd(std::function<void()> callback) {
  on_end_ = std::move(callback);
  CheckEnd();
}

void Descriptors::CheckEnd() {
  if (!on_end_ || !ended()) return;
  if (auto callback = std::exchange(on_end_, nullptr)) callback();
}

void Descriptors::Abort() {
  exited_ = true;
  Watch();
  if (idle_ != 0) loop_.CancelTimer(std::exchange(idle_, 0));
  for (Given& given : given_) {
    if (given.input) given.input->Close();
    if (given.output) given.output->Abort();
    given.fd.Reset();
  }
  for (auto& [id, weak] : relays_)
    if (auto relay = weak.lock()) relay->Abort();
}

}  // namespace holt::shim
