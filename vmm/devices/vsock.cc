#include "vmm/devices/vsock.h"

#include "base/log.h"
#include "vmm/virtio/config_space.h"

namespace holt::vmm {

using vsock::Header;

uint32_t Vsock::Stream::credit() const {
  const uint32_t outstanding = sent - guest_forwarded;  // modulo 2^32, like the counters
  return outstanding >= guest_buffer ? 0 : guest_buffer - outstanding;
}

bool Vsock::Stream::has_work() const {
  if (guest_gone) return false;
  if (want_reset || want_request || want_response || want_credit || want_shutdown != 0) return true;
  return open && readable && !guest_reads_no_more && credit() != 0;
}

void Vsock::SetQueue(size_t index, QueuePort* port) {
  if (index == kReceiveQueue) receive_ = port;
  if (index == kTransmitQueue) {
    // A guest that powers off does not wait until its last packets were looked at.
    if (port == nullptr) ProcessTransmit();
    transmit_ = port;
  }
}

void Vsock::OnKick(size_t index) {
  if (index == kTransmitQueue) ProcessTransmit();
  // New buffers, or answers to what was transmitted: either may let a stream go on, and answers
  // that left may let the transmit queue go on.
  PumpReceive();
  if (index == kReceiveQueue) {
    ProcessTransmit();
    PumpReceive();
  }
}

void Vsock::ProcessTransmit() {
  if (transmit_ == nullptr || !transmit_->queue().running()) return;
  Queue& queue = transmit_->queue();
  DescriptorChain chain;
  size_t budget = kBudget;
  do {
    queue.DisableNotifications();
    // A guest that causes resets without taking them waits until it has taken some.
    while (resets_.size() < kMaxResets) {
      if (budget-- == 0) {
        PostAgain();
        return transmit_->Notify();
      }
      auto popped = queue.Pop(chain);
      if (!popped) return transmit_->ReportBroken(popped.error());
      if (!*popped) break;
      ChainReader reader(chain);
      Header header;
      if (reader.Read(header) && header.length <= reader.left()) HandlePacket(header, reader);
      queue.Push(chain, 0);
    }
  } while (queue.EnableNotifications() && resets_.size() < kMaxResets);
  transmit_->Notify();
}

void Vsock::PostAgain() {
  if (std::exchange(posted_, true)) return;
  options_.loop->Post([this, alive = std::weak_ptr(alive_)] {
    if (alive.expired()) return;
    posted_ = false;
    OnKick(kTransmitQueue);
  });
}

void Vsock::HandlePacket(const Header& header, ChainReader body) {
  // A guest speaks for itself, and to the host.
  if (header.source_cid != options_.guest_cid || header.destination_cid != vsock::kHostCid) return;
  auto it = streams_.find(MakeKey(header.destination_port, header.source_port));
  Stream* stream = it == streams_.end() || it->second->guest_gone ? nullptr : it->second.get();
  if (header.type != vsock::kTypeStream ||
      (stream == nullptr && header.operation != vsock::kRequest))
    return QueueReset(header);
  if (stream == nullptr) {
    if (it != streams_.end()) return QueueReset(header);  // its old bytes are still on their way
    return ConnectToHost(header);
  }
  stream->guest_buffer = header.buffer_bytes;
  stream->guest_forwarded = header.forwarded_bytes;
  switch (header.operation) {
    case vsock::kResponse:
      if (stream->open || stream->want_request) return Reset(*stream);
      Established(*stream);
      break;
    case vsock::kReset:
      return HandleReset(*stream);
    case vsock::kShutdown:
      return HandleShutdown(*stream, header.flags);
    case vsock::kData:
      return HandleData(*stream, header, body);
    case vsock::kCreditUpdate:
      break;
    case vsock::kCreditRequest:
      stream->want_credit = true;
      break;
    default:  // a second request among them
      return Reset(*stream);
  }
  MarkReady(*stream);
}

void Vsock::HandleData(Stream& stream, const Header& header, ChainReader body) {
  if (!stream.open || stream.guest_sent_all || !stream.fd) return Reset(stream);
  if (stream.host_gone) {  // nobody reads it, but the host side's last bytes are still to be passed
                           // on
    stream.forwarded += header.length;
    return AfterForward(stream);
  }
  // More than the credit we gave: this guest does not count, and must not make us hold its bytes.
  if (header.length > kBufferBytes - stream.waiting_bytes()) return Reset(stream);
  // Exactly `length` of it, whatever follows in the buffers.
  ChainReader exact = body;
  exact.Truncate(header.length);
  Forward(stream, exact);
}

void Vsock::HandleShutdown(Stream& stream, uint32_t flags) {
  if (flags & vsock::kShutdownReceive) stream.guest_reads_no_more = true;
  if (flags & vsock::kShutdownSend) stream.guest_sent_all = true;
  AfterForward(stream);
}

void Vsock::HandleReset(Stream& stream) {
  // After an orderly end the guest need not wait for a slow reader, but the reader gets its bytes.
  if (stream.guest_sent_all && stream.waiting_bytes() != 0) {
    stream.guest_gone = true;
    return;
  }
  Remove(stream);
}

void Vsock::QueueReset(const Header& cause) {
  if (cause.operation == vsock::kReset) return;
  resets_.push_back({cause.destination_port, cause.source_port});
}

void Vsock::PumpReceive() {
  if (receive_ == nullptr || !receive_->queue().running()) return;
  Queue& queue = receive_->queue();
  DescriptorChain chain;
  size_t budget = kBudget;
  while (!resets_.empty() || !ready_.empty()) {
    if (budget-- == 0) {
      PostAgain();
      break;
    }
    auto popped = queue.Pop(chain);
    if (!popped) return receive_->ReportBroken(popped.error());
    if (!*popped) {
      if (queue.EnableNotifications()) continue;
      break;  // the driver kicks when it has added buffers
    }
    uint32_t written = 0;
    if (FillPacket(chain, written)) {
      queue.Push(chain, written);
    } else {
      queue.UndoPop(chain);
    }
  }
  if (resets_.empty() && ready_.empty()) queue.DisableNotifications();
  receive_->Notify();
}

bool Vsock::FillPacket(const DescriptorChain& chain, uint32_t& written) {
  ChainWriter body(chain);
  auto head = body.Split(sizeof(Header));
  // A buffer too small for a packet goes back empty.
  if (!head || body.left() == 0) return true;
  Header header{};
  header.source_cid = vsock::kHostCid;
  header.destination_cid = options_.guest_cid;
  header.type = vsock::kTypeStream;
  if (!resets_.empty()) {
    header.operation = vsock::kReset;
    header.source_port = resets_.front().host_port;
    header.destination_port = resets_.front().guest_port;
    resets_.pop_front();
  } else {
    const Key key = ready_.front();
    ready_.pop_front();
    auto it = streams_.find(key);
    if (it == streams_.end()) return false;
    Stream& stream = *it->second;
    stream.queued = false;
    header.source_port = stream.host_port;
    header.destination_port = stream.guest_port;
    header.buffer_bytes = kBufferBytes;
    header.forwarded_bytes = stream.forwarded;
    if (!FillStreamPacket(stream, body, header)) return false;
  }
  head->Write(header);
  written = static_cast<uint32_t>(sizeof header) + header.length;
  return true;
}

bool Vsock::FillStreamPacket(Stream& stream, ChainWriter& body, Header& header) {
  if (stream.want_reset) {
    header.operation = vsock::kReset;
    Remove(stream);
    return true;
  }
  if (std::exchange(stream.want_request, false)) {
    header.operation = vsock::kRequest;
  } else if (std::exchange(stream.want_response, false)) {
    header.operation = vsock::kResponse;
  } else if (uint32_t bytes = ReadHost(stream, body); bytes != 0) {
    header.operation = vsock::kData;
    header.length = bytes;
    stream.sent += bytes;
  } else if (stream.want_reset) {  // the host side broke while it was read
    header.operation = vsock::kReset;
    Remove(stream);
    return true;
  } else if (stream.want_shutdown != 0) {
    header.operation = vsock::kShutdown;
    header.flags = std::exchange(stream.want_shutdown, 0);
  } else if (std::exchange(stream.want_credit, false)) {
    header.operation = vsock::kCreditUpdate;
  } else {
    return false;
  }
  stream.want_credit = false;  // every packet carries it
  stream.forwarded_told = stream.forwarded;
  MarkReady(stream);
  return true;
}

void VsockDevice::ReadConfig(uint32_t offset, std::span<std::byte> out) const {
  const uint64_t cid = vsock_->guest_cid();
  CopyConfig(cid, offset, out);
}

base::Status VsockDevice::Start(uint64_t, std::span<QueuePort* const> ports) {
  if (ports[Vsock::kReceiveQueue] == nullptr || ports[Vsock::kTransmitQueue] == nullptr)
    return base::MakeError(base::Code::kInvalidArgument,
                           "the driver set up only some of vsock's queues");
  vsock_->SetQueue(Vsock::kReceiveQueue, ports[Vsock::kReceiveQueue]);
  vsock_->SetQueue(Vsock::kTransmitQueue, ports[Vsock::kTransmitQueue]);
  return {};
}

void VsockDevice::Stop() {
  vsock_->SetQueue(Vsock::kReceiveQueue, nullptr);
  vsock_->SetQueue(Vsock::kTransmitQueue, nullptr);
  vsock_->EndStreams();
}

}  // namespace holt::vmm
