#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <climits>

#include "base/log.h"
#include "vmm/devices/vsock.h"

namespace holt::vmm {

Vsock::Stream* Vsock::AddStream(uint32_t host_port, uint32_t guest_port, base::UniqueFd fd) {
  auto stream = std::make_unique<Stream>();
  stream->host_port = host_port;
  stream->guest_port = guest_port;
  stream->fd = std::move(fd);
  Stream* result = stream.get();
  streams_[MakeKey(host_port, guest_port)] = std::move(stream);
  return result;
}

void Vsock::Remove(Stream& stream) {
  if (stream.watched != 0) options_.loop->RemoveFd(stream.fd.get());
  if (stream.timer != 0) options_.loop->CancelTimer(stream.timer);
  const Key key = MakeKey(stream.host_port, stream.guest_port);
  // A guest that opens and resets streams without taking packets must not grow the list.
  if (stream.queued) std::erase(ready_, key);
  streams_.erase(key);
}

void Vsock::DropStreams() {
  while (!streams_.empty()) Remove(*streams_.begin()->second);
  ready_.clear();
  resets_.clear();
}

void Vsock::EndStreams() {
  std::vector<Key> keys;
  keys.reserve(streams_.size());
  for (const auto& [key, stream] : streams_) keys.push_back(key);
  for (Key key : keys) {
    Stream& stream = *streams_[key];
    stream.guest_gone = true;
    if (stream.fd && stream.waiting_bytes() != 0) {
      Watch(stream);  // which may give it up
    } else {
      Remove(stream);
    }
  }
  ready_.clear();
  for (const auto& [key, stream] : streams_) stream->queued = false;
  resets_.clear();
}

void Vsock::MarkReady(Stream& stream) {
  if (stream.queued || !stream.has_work()) return;
  stream.queued = true;
  ready_.push_back(MakeKey(stream.host_port, stream.guest_port));
}

void Vsock::Reset(Stream& stream) {
  if (stream.guest_gone) return Remove(stream);
  // The host side ends here; the guest's side when it was told.
  if (stream.watched != 0) options_.loop->RemoveFd(stream.fd.get());
  stream.watched = 0;
  stream.fd.Reset();
  stream.waiting.clear();
  stream.waiting_sent = 0;
  stream.readable = false;
  stream.want_reset = true;
  MarkReady(stream);
}

// Watches for what the stream can act on, and for nothing else: a hang-up that cannot be acted on
// (no credit to pass the last bytes on) would be reported for ever.
void Vsock::Watch(Stream& stream) {
  uint32_t events = 0;
  if (stream.fd) {
    if (stream.open && !stream.readable && !stream.host_sent_all && !stream.guest_gone)
      events |= EPOLLIN;
    if (stream.waiting_bytes() != 0) events |= EPOLLOUT;
  }
  if (events == stream.watched) return;
  const int fd = stream.fd.get();
  if (stream.watched != 0 && events != 0) {
    if (!options_.loop->ModifyFd(fd, events)) return Reset(stream);
  } else if (stream.watched != 0) {
    options_.loop->RemoveFd(fd);
  } else {
    const Key key = MakeKey(stream.host_port, stream.guest_port);
    auto added =
        options_.loop->AddFd(fd, events, [this, key](uint32_t e) { OnHostEvents(key, e); });
    if (!added) return Reset(stream);
  }
  stream.watched = events;
}

void Vsock::OnHostEvents(Key key, uint32_t events) {
  auto it = streams_.find(key);
  if (it == streams_.end()) return;
  Stream& stream = *it->second;
  if (events & (EPOLLHUP | EPOLLERR)) stream.host_gone = true;
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) stream.readable = true;
  if (events & EPOLLOUT || (stream.host_gone && stream.waiting_bytes() != 0)) {
    FlushWaiting(stream);
    if (!streams_.contains(key)) return;
  }
  Watch(stream);
  if (!streams_.contains(key)) return;
  MarkReady(stream);
  PumpReceive();
}

// Reads from the host side what the guest has room for, straight into its buffers. 0: nothing came,
// and the stream knows why.
uint32_t Vsock::ReadHost(Stream& stream, ChainWriter& body) {
  if (!stream.open || !stream.readable || stream.guest_reads_no_more || !stream.fd) return 0;
  const uint32_t room = stream.credit();
  if (room == 0) return 0;
  std::vector<iovec> iov;
  body.TakeIovecs(room, iov);
  ssize_t n =
      readv(stream.fd.get(), iov.data(), static_cast<int>(std::min<size_t>(iov.size(), IOV_MAX)));
  if (n > 0) return static_cast<uint32_t>(n);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
    stream.readable = false;
    Watch(stream);
    return 0;
  }
  stream.readable = false;
  if (n < 0) {
    Reset(stream);
    return 0;
  }
  stream.host_sent_all = true;
  stream.want_shutdown = vsock::kShutdownSend;
  if (stream.host_gone) {
    // Nobody is left to read what the guest sends either.
    stream.want_shutdown |= vsock::kShutdownReceive;
    if (stream.watched != 0) options_.loop->RemoveFd(stream.fd.get());
    stream.watched = 0;
    stream.fd.Reset();
    stream.waiting.clear();
    stream.waiting_sent = 0;
  }
  Watch(stream);
  return 0;
}

// Passes the guest's bytes to the host side, and keeps what it does not take now.
void Vsock::Forward(Stream& stream, ChainReader& body) {
  if (stream.waiting_bytes() == 0 && body.left() != 0) {
    ChainReader direct = body;
    std::vector<iovec> iov;
    direct.TakeIovecs(body.left(), iov);
    msghdr message{};
    message.msg_iov = iov.data();
    message.msg_iovlen = std::min<size_t>(iov.size(), IOV_MAX);
    ssize_t n = sendmsg(stream.fd.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return HostStoppedReading(stream);
    if (n > 0) {
      stream.forwarded += static_cast<uint32_t>(n);
      body.Skip(static_cast<uint32_t>(n));
    }
  }
  if (body.left() != 0) {
    if (stream.waiting_sent != 0) {
      stream.waiting.erase(0, stream.waiting_sent);
      stream.waiting_sent = 0;
    }
    const size_t before = stream.waiting.size();
    stream.waiting.resize(before + body.left());
    body.Read(std::as_writable_bytes(std::span(stream.waiting).subspan(before)));
  }
  AfterForward(stream);
}

void Vsock::FlushWaiting(Stream& stream) {
  while (stream.fd && stream.waiting_bytes() != 0) {
    ssize_t n = send(stream.fd.get(), stream.waiting.data() + stream.waiting_sent,
                     stream.waiting_bytes(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (n < 0) return HostStoppedReading(stream);
    stream.waiting_sent += static_cast<size_t>(n);
    stream.forwarded += static_cast<uint32_t>(n);
  }
  if (stream.waiting_bytes() == 0) {
    stream.waiting.clear();
    stream.waiting_sent = 0;
  }
  AfterForward(stream);
}

// Writing failed. What the host side wrote before it went away is still passed on; then the guest
// is told that both directions ended.
void Vsock::HostStoppedReading(Stream& stream) {
  stream.host_gone = true;
  stream.readable = !stream.host_sent_all;
  stream.waiting.clear();
  stream.waiting_sent = 0;
  if (stream.host_sent_all) return Reset(stream);
  AfterForward(stream);
}

// What follows from bytes having gone to the host side, or from the guest having ended its side.
void Vsock::AfterForward(Stream& stream) {
  if (stream.waiting_bytes() == 0) {
    if (stream.guest_gone) return Remove(stream);
    if (stream.guest_sent_all && stream.guest_reads_no_more) return Reset(stream);
    // Harmless when repeated.
    if (stream.guest_sent_all && stream.fd && stream.open) shutdown(stream.fd.get(), SHUT_WR);
  }
  // The guest stops at the end of its credit; tell it of more before it gets there.
  const uint32_t untold = stream.forwarded - stream.forwarded_told;
  if (!stream.guest_sent_all && untold >= kBufferBytes / 4) stream.want_credit = true;
  if (stream.guest_gone) return Watch(stream);
  Watch(stream);
  // Watch may have given the stream up; then it is ready already.
  MarkReady(stream);
}

}  // namespace holt::vmm
