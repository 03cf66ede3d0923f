#include "vmm/devices/net_queues.h"

#include <limits.h>
#include <linux/if_tun.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/file.h"
#include "base/log.h"

namespace holt::vmm {

using base::Result;
using base::Status;
using net::Header;

namespace {

Status SetTapOffloads(int tap, unsigned offloads) {
  if (ioctl(tap, TUNSETOFFLOAD, static_cast<unsigned long>(offloads)) != 0)
    return HOLT_ERRNO("set the tap's offloads");
  return {};
}

}  // namespace

Result<std::unique_ptr<NetQueues>> NetQueues::Create(Options options) {
  HOLT_CHECK(options.loop != nullptr && options.tap);
  if (!options.set_offloads) options.set_offloads = SetTapOffloads;
  TRY(base::SetNonblocking(options.tap.get(), true));
  std::unique_ptr<NetQueues> queues(new NetQueues(std::move(options)));
  queues->frame_.resize(net::kMaxFrame);
  // Watched for nothing until the guest is there.
  TRY(queues->options_.loop->AddFd(queues->options_.tap.get(), 0,
                                   [raw = queues.get()](uint32_t events) { raw->OnTap(events); }));
  return queues;
}

NetQueues::~NetQueues() {
  if (!tap_failed_) options_.loop->RemoveFd(options_.tap.get());
}

Status NetQueues::SetFeatures(uint64_t features) {
  features_ = features;
  return options_.set_offloads(options_.tap.get(), net::TapOffloads(features));
}

void NetQueues::SetQueue(size_t index, QueuePort* port) {
  if (index == kTransmit) {
    // A guest that powers off does not wait until its last frames were looked at.
    if (port == nullptr) Transmit();
    transmit_ = port;
    return;
  }
  if (port == nullptr) {
    PutChainsBack();
    frame_bytes_ = 0;
    Watch(false);
  }
  receive_ = port;
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
        return PostTransmit();
      }
      auto popped = queue.Pop(transmit_chain_);
      if (!popped) return transmit_->ReportBroken(popped.error());
      if (!*popped) break;
      TransmitOne(transmit_chain_);
      queue.Push(transmit_chain_, 0);
    }
  } while (queue.EnableNotifications());
  transmit_->Notify();
}

void NetQueues::TransmitOne(const DescriptorChain& chain) {
  ChainReader reader(chain);
  Header header{};
  auto drop = [this] { ++counters_.sent_dropped; };
  if (!reader.Read(header)) return drop();
  const uint32_t bytes = reader.left();
  if (bytes < net::kEthernetHeader || bytes > net::kMaxFrame) return drop();
  if (!net::CheckTransmit(features_, bytes, header)) return drop();
  iovecs_.clear();
  iovecs_.push_back({&header, sizeof header});
  reader.TakeIovecs(bytes, iovecs_);
  if (iovecs_.size() > IOV_MAX) return drop();
  // Nonblocking: a tap that cannot take it now (or is down) loses it, as a wire would.
  if (writev(options_.tap.get(), iovecs_.data(), static_cast<int>(iovecs_.size())) < 0)
    return drop();
  ++counters_.sent_packets;
  counters_.sent_bytes += bytes;
}

void NetQueues::PostTransmit() {
  if (std::exchange(posted_, true)) return;
  options_.loop->Post([this, alive = std::weak_ptr(alive_)] {
    if (alive.expired()) return;
    posted_ = false;
    Transmit();
  });
}

// --- host to guest

void NetQueues::OnTap(uint32_t events) {
  // Level-triggered: left in the loop it would never be silent again.
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) return TapFailed("its interface is gone");
  Receive();
}

void NetQueues::TapFailed(std::string_view why) {
  if (std::exchange(tap_failed_, true)) return;
  base::log::Warning("virtio net: the tap failed: {}", why);
  options_.loop->RemoveFd(options_.tap.get());
}

void NetQueues::Watch(bool readable) {
  if (tap_failed_ || watched_ == readable) return;
  watched_ = readable;
  // Fails for a descriptor that is not watched only.
  (void)options_.loop->ModifyFd(options_.tap.get(), readable ? uint32_t{EPOLLIN} : 0);
}

void NetQueues::Receive() {
  if (receive_ == nullptr || !receive_->queue().running() || receive_->queue().broken())
    return Watch(false);
  for (int budget = kBudget; budget > 0; --budget) {
    if (frame_bytes_ == 0 && !ReadFrame()) break;
    const Deliver result = DeliverFrame();
    if (result == Deliver::kBroken) return Watch(false);
    if (result == Deliver::kNoBuffers) {
      if (receive_->queue().EnableNotifications()) continue;
      // The tap is left alone until the driver kicks.
      receive_->Notify();
      return Watch(false);
    }
  }
  receive_->Notify();
  Watch(true);
}

bool NetQueues::ReadFrame() {
  while (!tap_failed_) {
    iovec parts[] = {{&header_, sizeof header_}, {frame_.data(), frame_.size()}};
    const ssize_t got = readv(options_.tap.get(), parts, 2);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno != EAGAIN) TapFailed(strerrordesc_np(errno));
    if (got <= 0) return false;
    const auto bytes = static_cast<size_t>(got);
    if (bytes < sizeof header_ + net::kEthernetHeader || !net::MayReceive(features_, header_)) {
      ++counters_.received_dropped;
      continue;
    }
    frame_bytes_ = static_cast<uint32_t>(bytes - sizeof header_);
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

}  // namespace holt::vmm
