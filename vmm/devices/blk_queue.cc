#include "vmm/devices/blk_queue.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/log.h"

namespace holt::vmm {

using base::Result;
using blk::Header;
using blk::Segment;
using blk::Status;

namespace {

// Before the next attempt to give the kernel what it would not take.
constexpr std::chrono::milliseconds kSubmitAgain{5};

}  // namespace

Result<std::unique_ptr<BlkQueue>> BlkQueue::Create(base::EventLoop& loop, const BlkDisk& disk,
                                                   std::unique_ptr<BlkRing> ring) {
  std::unique_ptr<BlkQueue> queue(new BlkQueue(loop, disk));
  queue->ring_ = std::move(ring);
  queue->requests_.resize(blk::kMaxQueueSize);
  TRY(loop.AddFd(queue->ring_->event_fd(), EPOLLIN,
                 [raw = queue.get()](uint32_t) { raw->Reap(); }));
  return queue;
}

BlkQueue::~BlkQueue() {
  Drain();
  loop_.RemoveFd(ring_->event_fd());
}

void BlkQueue::SetPort(QueuePort* port) {
  if (port == nullptr) {
    // A guest that powers off does not wait until its last requests were looked at.
    Serve();
    Drain();
  }
  port_ = port;
}

void BlkQueue::OnKick() { Serve(); }

void BlkQueue::WhenIdle(std::function<void()> callback) {
  if (busy_ == 0) return callback();
  HOLT_CHECK(!on_idle_);
  on_idle_ = std::move(callback);
}

void BlkQueue::Serve() {
  if (port_ == nullptr || !port_->queue().running() || port_->queue().broken()) return;
  Queue& queue = port_->queue();
  int budget = kBudget;
  bool more = false;
  do {
    queue.DisableNotifications();
    while (true) {
      if (budget-- == 0) {
        more = true;
        break;
      }
      auto popped = queue.Pop(chain_);
      if (!popped) {
        Submit();
        return port_->ReportBroken(popped.error());
      }
      if (!*popped) break;
      const uint16_t head = chain_.head;
      Request& request = requests_[head];
      HOLT_CHECK(!request.busy);
      std::swap(request.chain, chain_);
      request.busy = true;
      ++busy_;
      Status status = Status::kOk;
      if (!Begin(head, request, status)) Finish(head, request, status);
    }
  } while (!more && queue.EnableNotifications());
  Submit();
  port_->Notify();
  if (more) ServeAgain();
}

void BlkQueue::ServeAgain() {
  if (std::exchange(posted_, true)) return;
  loop_.Post([this, alive = std::weak_ptr(alive_)] {
    if (alive.expired()) return;
    posted_ = false;
    Serve();
  });
}

void BlkQueue::Submit() {
  if (ring_->Submit() || std::exchange(submit_later_, true)) return;
  loop_.AddTimer(kSubmitAgain, [this, alive = std::weak_ptr(alive_)] {
    if (alive.expired()) return;
    submit_later_ = false;
    Submit();
  });
}

void BlkQueue::Reap() {
  ring_->Reap([this](uint64_t tag, int result) { OnDone(static_cast<uint16_t>(tag), result); });
  // What has to go on.
  Submit();
  if (port_ != nullptr) port_->Notify();
}

void BlkQueue::Drain() {
  while (busy_ > 0) {
    // The kernel refuses for want of memory at most, and may have it the next time.
    if (ring_->Submit()) ring_->Wait();
    Reap();
  }
}

bool BlkQueue::InDisk(uint64_t sector, uint64_t bytes) const {
  const uint64_t sectors = disk_.sectors();
  return sector <= sectors && bytes / blk::kSectorBytes <= sectors - sector;
}

bool BlkQueue::Begin(uint16_t head, Request& request, Status& status) {
  status = Status::kIoError;
  request.buffers.clear();
  request.first = 0;
  request.written = 0;
  request.unmap = false;
  ChainReader reader(request.chain);
  // Without room for a status the driver is told nothing but that it is done.
  if (request.chain.writable_bytes == 0 || !reader.Read(request.header)) return false;
  if (disk_.empty()) return false;
  switch (request.header.type) {
    case blk::kIn:
    case blk::kOut:
      return BeginTransfer(head, request, status);
    case blk::kFlushRequest:
      ring_->Flush(head);
      return true;
    case blk::kGetId: {
      std::array<std::byte, blk::kIdBytes> id{};
      std::ranges::copy(
          std::as_bytes(std::span(disk_.id)).first(std::min<size_t>(disk_.id.size(), id.size())),
          id.begin());
      ChainWriter writer(request.chain);
      if (request.chain.writable_bytes - 1 < id.size()) return false;
      writer.Write(id);
      request.written = writer.written();
      status = Status::kOk;
      return false;
    }
    case blk::kDiscardRequest:
    case blk::kWriteZeroesRequest:
      return BeginRange(head, request, status);
    default:
      status = Status::kUnsupported;
      return false;
  }
}

bool BlkQueue::BeginTransfer(uint16_t head, Request& request, Status& status) {
  const bool in = request.header.type == blk::kIn;
  if (!in && disk_.read_only) return false;
  ChainReader reader(request.chain);
  reader.Skip(sizeof(Header));
  ChainWriter writer(request.chain);
  const uint32_t bytes = in ? request.chain.writable_bytes - 1 : reader.left();
  if (bytes % blk::kSectorBytes != 0 || !InDisk(request.header.sector, bytes)) return false;
  if (bytes == 0) {
    status = Status::kOk;
    return false;
  }
  if (in)
    writer.TakeIovecs(bytes, request.buffers);
  else
    reader.TakeIovecs(bytes, request.buffers);
  if (request.buffers.size() > IOV_MAX) return false;
  // Cannot wrap: the sector is one of the disk's.
  request.offset = request.header.sector * blk::kSectorBytes;
  request.left = bytes;
  Transfer(head, request);
  return true;
}

void BlkQueue::Transfer(uint16_t head, Request& request) {
  const auto rest = std::span<const iovec>(request.buffers).subspan(request.first);
  if (request.header.type == blk::kIn)
    ring_->Read(rest, request.offset, head);
  else
    ring_->Write(rest, request.offset, head);
}

bool BlkQueue::BeginRange(uint16_t head, Request& request, Status& status) {
  if (disk_.read_only) return false;
  ChainReader reader(request.chain);
  reader.Skip(sizeof(Header));
  // One segment: what the configuration space promises.
  Segment segment{};
  if (reader.left() != sizeof segment || !reader.Read(segment)) return false;
  const bool zeroes = request.header.type == blk::kWriteZeroesRequest;
  if ((segment.flags & ~(zeroes ? blk::kUnmap : 0)) != 0) {
    status = Status::kUnsupported;
    return false;
  }
  const uint64_t bytes = uint64_t{segment.sectors} * blk::kSectorBytes;
  if (bytes == 0 || bytes > kMaxRangeBytes || !InDisk(segment.sector, bytes)) return false;
  request.offset = segment.sector * blk::kSectorBytes;
  request.left = bytes;
  if ((request.offset | bytes) % disk_.block_bytes != 0) {
    // The guest of a disk that came later knows no size of its blocks. It writes zeroes itself
    // then.
    status = zeroes ? Status::kUnsupported : Status::kOk;
    return false;
  }
  request.unmap = !zeroes || (segment.flags & blk::kUnmap) != 0;
  Allocate(head, request);
  return true;
}

void BlkQueue::Allocate(uint16_t head, Request& request) {
  const int mode = request.unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
  ring_->Allocate(mode | FALLOC_FL_KEEP_SIZE, request.offset, request.left, head);
}

void BlkQueue::GoOn(uint16_t head, Request& request) {
  if (disk_.empty()) return Finish(head, request, Status::kIoError);
  const uint32_t type = request.header.type;
  if (type == blk::kFlushRequest) return ring_->Flush(head);
  return type == blk::kIn || type == blk::kOut ? Transfer(head, request) : Allocate(head, request);
}

void BlkQueue::OnDone(uint16_t head, int result) {
  Request& request = requests_[head];
  HOLT_CHECK(request.busy);
  const uint32_t type = request.header.type;
  if (result == -EINTR || result == -EAGAIN) return GoOn(head, request);
  if (result < 0) {
    if (result == -EOPNOTSUPP && request.unmap) {
      // A discard is a wish. Zeroes are not: they can be written, too.
      if (type == blk::kDiscardRequest) return Finish(head, request, Status::kOk);
      request.unmap = false;
      return GoOn(head, request);
    }
    return Finish(head, request, result == -EOPNOTSUPP ? Status::kUnsupported : Status::kIoError);
  }
  if (type != blk::kIn && type != blk::kOut) return Finish(head, request, Status::kOk);
  // Nothing, where the disk has an end by now: it was made smaller.
  if (result == 0) return Finish(head, request, Status::kIoError);
  auto done = static_cast<uint64_t>(result);
  if (type == blk::kIn) request.written += static_cast<uint32_t>(done);
  request.offset += done;
  request.left -= done;
  if (request.left == 0) return Finish(head, request, Status::kOk);
  while (done >= request.buffers[request.first].iov_len)
    done -= request.buffers[request.first++].iov_len;
  iovec& next = request.buffers[request.first];
  next.iov_base = static_cast<std::byte*>(next.iov_base) + done;
  next.iov_len -= done;
  GoOn(head, request);
}

void BlkQueue::Finish(uint16_t head, Request& request, Status status) {
  uint32_t written = request.written;
  if (request.chain.writable_bytes > 0) {
    // The last byte, wherever the data ended; told of as written when all before it was.
    const uint32_t data = request.chain.writable_bytes - 1;
    ChainWriter writer(request.chain);
    writer.Split(data);
    writer.Write(status);
    if (written == data) ++written;
  }
  request.busy = false;
  --busy_;
  port_->queue().Push(head, written);
  request.chain.Clear();
  if (busy_ == 0 && on_idle_) std::exchange(on_idle_, nullptr)();
}

}  // namespace holt::vmm
