#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <charconv>

#include "base/file.h"
#include "base/log.h"
#include "base/socket.h"
#include "vmm/devices/vsock.h"

namespace holt::vmm {

namespace {

using namespace std::chrono_literals;
namespace log = base::log;

// "CONNECT 4294967295\n"
constexpr size_t kMaxLine = 19;
// For the line to arrive, and then for the guest to answer (it may be booting).
constexpr auto kHandshakeTime = 10s;
constexpr auto kConnectTime = 30s;
// "<name>_<port>" must fit in sockaddr_un.
constexpr size_t kMaxName = sizeof(sockaddr_un::sun_path) - 12;

// The port of "CONNECT <port>" (without the newline).
std::optional<uint32_t> ParseConnect(std::string_view line) {
  constexpr std::string_view kWord = "CONNECT ";
  if (!line.starts_with(kWord)) return std::nullopt;
  line.remove_prefix(kWord.size());
  uint32_t port = 0;
  auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), port);
  if (error != std::errc() || end != line.data() + line.size() || line.empty()) return std::nullopt;
  return port;
}

}  // namespace

base::Result<std::unique_ptr<Vsock>> Vsock::Create(Options options) {
  if (options.guest_cid < 3 || options.guest_cid >= 0xffffffff)
    return base::MakeError(base::Code::kInvalidArgument,
                           "guest CID {} (3 to 4294967294 are for guests)", options.guest_cid);
  if (options.name.size() > kMaxName || options.name.find('/') != std::string::npos)
    return base::MakeError(base::Code::kInvalidArgument, "vsock name \"{}\"", options.name);
  std::unique_ptr<Vsock> vsock(new Vsock(std::move(options)));
  if (vsock->options_.listener) {
    Vsock* raw = vsock.get();
    TRY_CONTEXT(base::SetNonblocking(raw->options_.listener.get(), true), "vsock listener");
    TRY_CONTEXT(raw->options_.loop->AddFd(raw->options_.listener.get(), EPOLLIN,
                                          [raw](uint32_t) { raw->OnListener(); }),
                "vsock listener");
  }
  return vsock;
}

Vsock::~Vsock() {
  DropStreams();
  while (!handshakes_.empty()) EndHandshake(handshakes_.begin()->first);
  if (options_.listener) options_.loop->RemoveFd(options_.listener.get());
}

void Vsock::OnListener() {
  auto accepted = base::AcceptUnix(options_.listener.get());
  if (!accepted) return;
  if (handshakes_.size() >= kMaxHandshakes) return;  // closes it
  const int fd = accepted->get();
  if (!options_.loop->AddFd(fd, EPOLLIN, [this, fd](uint32_t) { OnHandshake(fd); })) return;
  Handshake& handshake = handshakes_[fd];
  handshake.fd = std::move(*accepted);
  handshake.timer = options_.loop->AddTimer(kHandshakeTime, [this, fd] {
    handshakes_.at(fd).timer = 0;
    EndHandshake(fd);
  });
}

void Vsock::EndHandshake(int fd) {
  auto it = handshakes_.find(fd);
  if (it->second.timer != 0) options_.loop->CancelTimer(it->second.timer);
  options_.loop->RemoveFd(fd);
  handshakes_.erase(it);
}

void Vsock::OnHandshake(int fd) {
  Handshake& handshake = handshakes_.at(fd);
  // A byte at a time, because what follows the line belongs to the stream.
  while (true) {
    char c = 0;
    ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) return EndHandshake(fd);
    if (c == '\n') break;
    handshake.line.push_back(c);
    if (handshake.line.size() >= kMaxLine) return EndHandshake(fd);
  }
  auto port = ParseConnect(handshake.line);
  options_.loop->RemoveFd(fd);
  base::UniqueFd socket = std::move(handshake.fd);
  options_.loop->CancelTimer(handshake.timer);
  handshakes_.erase(fd);
  if (port) ConnectToGuest(std::move(socket), *port);
}

void Vsock::ConnectToGuest(base::UniqueFd fd, uint32_t guest_port) {
  if (streams_.size() >= kMaxStreams)
    return log::Warning("vsock: {} streams are open, no more", kMaxStreams);
  // Never the guest's own choice of ports: those are below 2^30 only by habit, so look.
  while (streams_.contains(MakeKey(next_host_port_, guest_port)) || next_host_port_ == 0xffffffff)
    next_host_port_ = next_host_port_ == 0xffffffff ? 1u << 30 : next_host_port_ + 1;
  Stream* stream = AddStream(next_host_port_++, guest_port, std::move(fd));
  stream->want_request = true;
  const Key key = MakeKey(stream->host_port, guest_port);
  stream->timer = options_.loop->AddTimer(kConnectTime, [this, key] {
    Stream& late = *streams_.at(key);
    late.timer = 0;
    // The guest may have seen the request; a reset takes it back.
    if (late.want_request) return Remove(late);
    Reset(late);
    PumpReceive();
  });
  MarkReady(*stream);
  PumpReceive();
}

void Vsock::ConnectToHost(const vsock::Header& header) {
  if (options_.name.empty() || streams_.size() >= kMaxStreams) return QueueReset(header);
  base::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return QueueReset(header);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = fmt::format("{}_{}", options_.name, header.destination_port);
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    const int err = errno;
    log::Debug("vsock: the guest's connection to port {}: {}: {}", header.destination_port, path,
               base::ErrnoError(err, "connect").message());
    return QueueReset(header);
  }
  Stream* stream = AddStream(header.destination_port, header.source_port, std::move(fd));
  stream->guest_buffer = header.buffer_bytes;
  stream->guest_forwarded = header.forwarded_bytes;
  stream->open = true;
  stream->want_response = true;
  Watch(*stream);
  MarkReady(*stream);
}

void Vsock::Established(Stream& stream) {
  stream.open = true;
  options_.loop->CancelTimer(std::exchange(stream.timer, 0));
  const std::string line = fmt::format("OK {}\n", stream.host_port);
  // A fresh socket's buffer takes a line.
  if (send(stream.fd.get(), line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT) !=
      static_cast<ssize_t>(line.size()))
    return Reset(stream);
  Watch(stream);
}

}  // namespace holt::vmm
