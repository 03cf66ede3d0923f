#include "vmm/devices/net_queues.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/file.h"
#include "base/log.h"

namespace holt::vmm {

using base::Result;
using base::Status;
using net::Header;

Result<std::unique_ptr<NetQueues>> NetQueues::Create(Options options) {
  HOLT_CHECK(options.loop != nullptr && options.end);
  TRY(base::SetNonblocking(options.end->fd(), true));
  std::unique_ptr<NetQueues> queues(new NetQueues(std::move(options)));
  if (queues->options_.optional) TRY(queues->options_.end->SetActive(false));
  // Watched for nothing until the guest is there.
  TRY(queues->options_.loop->AddFd(queues->options_.end->fd(), 0,
                                   [raw = queues.get()](uint32_t events) { raw->OnEnd(events); }));
  return queues;
}

NetQueues::~NetQueues() {
  if (!end_failed_) options_.loop->RemoveFd(options_.end->fd());
}

Status NetQueues::SetFeatures(uint64_t features) {
  features_ = features;
  return options_.end->SetFeatures(features);
}

void NetQueues::SetQueue(size_t index, QueuePort* port) {
  if (index == kTransmit) {
    // A guest that powers off does not wait until its last frames were looked at.
    if (port == nullptr) Transmit();
    WatchToWrite(false);
    transmit_ = port;
    return;
  }
  if (port == nullptr) {
    PutChainsBack();
    frame_bytes_ = 0;
    WatchToRead(false);
  }
  // Not before: what is not used costs nothing.
  if (port != nullptr) frame_.resize(net::kMaxFrame);
  receive_ = port;
  Activate(port != nullptr);
}

void NetQueues::Activate(bool active) {
  if (!options_.optional) return;
  if (auto status = options_.end->SetActive(active); !status)
    base::log::Warning("virtio net: {}", status.error().message());
}

void NetQueues::OnKick(size_t index) {
  if (index == kTransmit) return Transmit();
  Receive();
}

// --- guest to host

void NetQueues::Transmit() {
  if (transmit_ == nullptr || !transmit_->queue().running() || transmit_->queue().broken()) return;
  Queue& queue = transmit_->queue();
  int budget = kBudget;
  do {
    queue.DisableNotifications();
    while (true) {
      if (budget-- == 0) {
        transmit_->Notify();
        return PostAgain(kTransmit);
      }
      auto popped = queue.Pop(transmit_chain_);
      if (!popped) return transmit_->ReportBroken(popped.error());
      if (!*popped) break;
      if (!TransmitOne(transmit_chain_)) {
        queue.UndoPop(transmit_chain_);
        transmit_->Notify();
        return WatchToWrite(true);
      }
      queue.Push(transmit_chain_, 0);
    }
  } while (queue.EnableNotifications());
  transmit_->Notify();
}

bool NetQueues::TransmitOne(const DescriptorChain& chain) {
  ChainReader reader(chain);
  Header header{};
  auto drop = [this] {
    ++counters_.sent_dropped;
    return true;
  };
  if (!reader.Read(header)) return drop();
  const uint32_t bytes = reader.left();
  if (bytes < net::kEthernetHeader || bytes > net::kMaxFrame) return drop();
  if (!net::CheckTransmit(features_, bytes, header)) return drop();
  iovecs_.assign(1, {});
  reader.TakeIovecs(bytes, iovecs_);
  const NetEnd::Sent sent = options_.end->Write(header, iovecs_, bytes);
  if (sent == NetEnd::Sent::kFull) return false;
  if (sent == NetEnd::Sent::kLost) return drop();
  ++counters_.sent_packets;
  counters_.sent_bytes += bytes;
  return true;
}

void NetQueues::PostAgain(size_t index) {
  if (std::exchange(posted_[index], true)) return;
  options_.loop->Post([this, index, alive = std::weak_ptr(alive_)] {
    if (alive.expired()) return;
    posted_[index] = false;
    OnKick(index);
  });
}

// --- host to guest

void NetQueues::OnEnd(uint32_t events) {
  // Level-triggered: left in the loop it would never be silent again.
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) return EndFailed("it is gone");
  if ((events & EPOLLOUT) != 0) {
    WatchToWrite(false);
    Transmit();
  }
  if ((events & EPOLLIN) != 0) Receive();
}

void NetQueues::EndFailed(std::string_view why) {
  if (std::exchange(end_failed_, true)) return;
  base::log::Warning("virtio net: the other end failed: {}", why);
  options_.loop->RemoveFd(options_.end->fd());
}

void NetQueues::Watch(uint32_t events) {
  if (end_failed_ || watched_ == events) return;
  watched_ = events;
  // Fails for a descriptor that is not watched only.
  (void)options_.loop->ModifyFd(options_.end->fd(), events);
}

void NetQueues::Receive() {
  if (receive_ == nullptr || !receive_->queue().running() || receive_->queue().broken())
    return WatchToRead(false);
  int budget = kBudget;
  for (; budget > 0; --budget) {
    if (frame_bytes_ == 0 && !ReadFrame()) break;
    const Deliver result = DeliverFrame();
    if (result == Deliver::kBroken) return WatchToRead(false);
    if (result == Deliver::kNoBuffers) {
      if (receive_->queue().EnableNotifications()) continue;
      // The other end is left alone until the driver kicks.
      receive_->Notify();
      return WatchToRead(false);
    }
  }
  receive_->Notify();
  WatchToRead(true);
  // More may be waiting where no event tells of it.
  if (budget == 0) PostAgain(kReceive);
}

bool NetQueues::ReadFrame() {
  while (!end_failed_) {
    auto bytes = options_.end->Read(header_, frame_);
    if (!bytes) EndFailed(bytes.error().message());
    if (!bytes || *bytes == 0) return false;
    if (*bytes < net::kEthernetHeader || !net::MayReceive(features_, header_)) {
      ++counters_.received_dropped;
      continue;
    }
    frame_bytes_ = *bytes;
    return true;
  }
  return false;
}

NetQueues::Deliver NetQueues::DeliverFrame() {
  Queue& queue = receive_->queue();
  const uint64_t needed = sizeof(Header) + frame_bytes_;
  const bool mergeable = (features_ & net::kMergeableBuffers) != 0;
  while (room_ < needed) {
    if (held_ == chains_.size()) chains_.emplace_back();
    DescriptorChain& chain = chains_[held_];
    auto popped = queue.Pop(chain);
    if (!popped) {
      receive_->ReportBroken(popped.error());
      return Deliver::kBroken;
    }
    if (!*popped) {
      if (queue.in_flight() != queue.config().size) return Deliver::kNoBuffers;
      // There cannot be more buffers than these: waiting would be for ever.
      PutChainsBack();
      DropFrame();
      return Deliver::kDone;
    }
    // 5.1.6.3.1: the first takes at least the header; without MRG_RXBUF it takes everything.
    if (held_ == 0 && chain.writable_bytes < (mergeable ? sizeof(Header) : needed)) {
      queue.Push(chain, 0);
      DropFrame();
      return Deliver::kDone;
    }
    room_ += chain.writable_bytes;
    ++held_;
  }
  FillChains();
  return Deliver::kDone;
}

void NetQueues::FillChains() {
  header_.num_buffers = static_cast<uint16_t>(held_);
  const std::span<const std::byte> frame = std::span(frame_).first(frame_bytes_);
  size_t done = 0;
  returned_.clear();
  for (size_t i = 0; i < held_; ++i) {
    ChainWriter writer(chains_[i]);
    if (i == 0) writer.Write(header_);
    const size_t part = std::min<size_t>(writer.left(), frame.size() - done);
    writer.Write(frame.subspan(done, part));
    done += part;
    returned_.push_back({chains_[i].head, writer.written()});
    chains_[i].Clear();
  }
  // 5.1.6.4: a driver that sees the first must find the others.
  receive_->queue().PushTogether(returned_);
  held_ = 0;
  room_ = 0;
  ++counters_.received_packets;
  counters_.received_bytes += frame_bytes_;
  frame_bytes_ = 0;
}

void NetQueues::DropFrame() {
  frame_bytes_ = 0;
  ++counters_.received_dropped;
}

void NetQueues::PutChainsBack() {
  while (held_ > 0) {
    --held_;
    if (receive_->queue().running()) receive_->queue().UndoPop(chains_[held_]);
    chains_[held_].Clear();
  }
  room_ = 0;
}

Result<NetPairs> MakeNetPairs(base::EventLoop& loop, std::vector<std::unique_ptr<NetEnd>> ends) {
  NetPairs pairs;
  for (auto& end : ends) {
    TRY_ASSIGN(auto queues, NetQueues::Create({&loop, std::move(end), !pairs.empty()}));
    pairs.push_back(std::move(queues));
  }
  return pairs;
}

NetCounters SumOf(const NetPairs& pairs) {
  NetCounters sum;
  for (const auto& pair : pairs) {
    const NetCounters& one = pair->counters();
    sum.received_packets += one.received_packets;
    sum.received_bytes += one.received_bytes;
    sum.received_dropped += one.received_dropped;
    sum.sent_packets += one.sent_packets;
    sum.sent_bytes += one.sent_bytes;
    sum.sent_dropped += one.sent_dropped;
  }
  return sum;
}

}  // namespace holt::vmm
