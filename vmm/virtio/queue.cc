#include "vmm/virtio/queue.h"

#include <atomic>
#include <bit>

namespace holt::vmm {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

// Descriptor flags (virtio 1.2, 2.7.5).
constexpr uint16_t kNext = 1;
constexpr uint16_t kWrite = 2;
constexpr uint16_t kIndirect = 4;

// Of the available ring's and the used ring's flags (2.7.6, 2.7.8).
constexpr uint16_t kNoInterrupt = 1;
constexpr uint16_t kNoNotify = 1;

// Layout of the rings: le16 flags, le16 index, then the elements, then the le16 of EVENT_IDX.
constexpr size_t kFlagsOffset = 0;
constexpr size_t kIndexOffset = 2;
constexpr size_t kRingOffset = 4;
constexpr size_t kAvailableElement = 2;
constexpr size_t kUsedElement = 8;
constexpr size_t kDescriptorBytes = 16;

static_assert(std::endian::native == std::endian::little, "rings are little-endian");

}  // namespace

Status Queue::Start(std::shared_ptr<const GuestMemory> memory, const QueueConfig& config) {
  HOLT_CHECK(!running_);
  if (config.size == 0 || config.size > max_size_ || !std::has_single_bit(config.size))
    return MakeError(Code::kInvalidArgument, "queue size {} (a power of two up to {} is taken)",
                     config.size, max_size_);
  // 2.7: alignment 16, 2 and 4.
  if (!config.descriptors.AlignedTo(16) || !config.available.AlignedTo(2) ||
      !config.used.AlignedTo(4))
    return MakeError(Code::kInvalidArgument, "queue areas {:#x}, {:#x}, {:#x} are not aligned",
                     config.descriptors.value(), config.available.value(), config.used.value());
  const uint64_t size = config.size;
  TRY_ASSIGN_CONTEXT(GuestSlice descriptors,
                     memory->Slice(config.descriptors, size * kDescriptorBytes),
                     "descriptor table");
  TRY_ASSIGN_CONTEXT(GuestSlice available,
                     memory->Slice(config.available, kRingOffset + size * kAvailableElement + 2),
                     "available ring");
  TRY_ASSIGN_CONTEXT(GuestSlice used,
                     memory->Slice(config.used, kRingOffset + size * kUsedElement + 2),
                     "used ring");
  // A region whose file offset is odd would make aligned guest addresses misaligned here.
  auto misaligned = [](const GuestSlice& slice, uintptr_t alignment) {
    return reinterpret_cast<uintptr_t>(slice.AsIovec().iov_base) % alignment != 0;
  };
  if (misaligned(descriptors, 16) || misaligned(available, 2) || misaligned(used, 4))
    return MakeError(Code::kInvalidArgument, "queue areas are not aligned in their memory file");

  memory_ = std::move(memory);
  config_ = config;
  descriptors_ = descriptors;
  available_ = available;
  used_ = used;
  next_available_ = config.next_available;
  next_used_ = config.next_used.value_or(used_.LoadAcquire<uint16_t>(kIndexOffset));
  notified_used_.reset();
  pushed_since_notify_ = false;
  in_flight_.assign(config.size, false);
  in_flight_count_ = 0;
  broken_ = false;
  running_ = true;
  return {};
}

void Queue::Stop() {
  running_ = false;
  broken_ = false;
  in_flight_.clear();
  in_flight_count_ = 0;
  descriptors_ = available_ = used_ = GuestSlice();
  memory_.reset();
}

base::Error Queue::Broken(base::Error error) {
  broken_ = true;
  return error;
}

Result<bool> Queue::Pop(DescriptorChain& chain) {
  chain.Clear();
  if (!running_) return false;
  if (broken_) return MakeError(Code::kFailedPrecondition, "the queue is broken");
  const auto available_index = available_.LoadAcquire<uint16_t>(kIndexOffset);
  const auto waiting = static_cast<uint16_t>(available_index - next_available_);
  if (waiting == 0) return false;
  if (waiting > config_.size)
    return Broken(MakeError(Code::kInvalidArgument,
                            "available index {} is {} ahead in a queue of {}", available_index,
                            waiting, config_.size));
  const size_t slot = next_available_ & (config_.size - 1);
  const auto head = available_.LoadAcquire<uint16_t>(kRingOffset + slot * kAvailableElement);
  if (head >= config_.size)
    return Broken(
        MakeError(Code::kInvalidArgument, "head {} in a queue of {}", head, config_.size));
  if (in_flight_[head])
    return Broken(MakeError(Code::kInvalidArgument, "head {} is in flight already", head));
  if (Status status = Collect(head, chain); !status) {
    chain.Clear();
    return Broken(std::move(status).error());
  }
  chain.head = head;
  chain.memory = memory_;
  in_flight_[head] = true;
  ++in_flight_count_;
  ++next_available_;
  return true;
}

Status Queue::Collect(uint16_t head, DescriptorChain& chain) {
  uint32_t count = 0;
  uint16_t index = head;
  while (true) {
    // A loop is a chain that is longer than the table.
    if (++count > config_.size)
      return MakeError(Code::kInvalidArgument, "descriptor chain at {} loops", head);
    const auto descriptor = descriptors_.Read<Descriptor>(size_t{index} * kDescriptorBytes);
    if (descriptor.flags & kIndirect) {
      if (!config_.indirect)
        return MakeError(Code::kInvalidArgument, "indirect descriptor without INDIRECT_DESC");
      if (descriptor.flags & (kNext | kWrite))
        return MakeError(Code::kInvalidArgument, "indirect descriptor with flags {:#x}",
                         descriptor.flags);
      return CollectIndirect(descriptor, count, chain);
    }
    TRY(AddBuffer(descriptor, chain));
    if (!(descriptor.flags & kNext)) return {};
    index = descriptor.next;
    if (index >= config_.size)
      return MakeError(Code::kInvalidArgument, "descriptor {} in a queue of {}", index,
                       config_.size);
  }
}

Status Queue::CollectIndirect(const Descriptor& table, uint32_t& count, DescriptorChain& chain) {
  if (table.length == 0 || table.length % kDescriptorBytes != 0)
    return MakeError(Code::kInvalidArgument, "indirect table of {} bytes", table.length);
  const uint32_t entries = table.length / kDescriptorBytes;
  if (entries > kMaxChainDescriptors)
    return MakeError(Code::kInvalidArgument,
                     "indirect table of {} descriptors, at most {} are taken", entries,
                     kMaxChainDescriptors);
  TRY_ASSIGN_CONTEXT(GuestSlice slice, memory_->Slice(GuestAddr(table.address), table.length),
                     "indirect table");
  uint32_t index = 0;
  for (uint32_t steps = 0;; ++count) {
    if (++steps > entries)
      return MakeError(Code::kInvalidArgument, "indirect descriptor chain loops");
    if (count > kMaxChainDescriptors)
      return MakeError(Code::kInvalidArgument, "descriptor chain of more than {}",
                       kMaxChainDescriptors);
    const auto descriptor = slice.Read<Descriptor>(size_t{index} * kDescriptorBytes);
    if (descriptor.flags & kIndirect)
      return MakeError(Code::kInvalidArgument, "indirect descriptor in an indirect table");
    TRY(AddBuffer(descriptor, chain));
    if (!(descriptor.flags & kNext)) return {};
    index = descriptor.next;
    if (index >= entries)
      return MakeError(Code::kInvalidArgument, "descriptor {} in an indirect table of {}", index,
                       entries);
  }
}

Status Queue::AddBuffer(const Descriptor& descriptor, DescriptorChain& chain) {
  const bool write = (descriptor.flags & kWrite) != 0;
  // 2.7.4.2: what the device writes comes after all it reads.
  if (!write && chain.writable_bytes != 0)
    return MakeError(Code::kInvalidArgument, "readable descriptor after a writable one");
  uint32_t& total = write ? chain.writable_bytes : chain.readable_bytes;
  if (__builtin_add_overflow(total, descriptor.length, &total))
    return MakeError(Code::kInvalidArgument, "descriptor chain of 4 GiB and more");
  return memory_->AppendSlices(GuestAddr(descriptor.address), descriptor.length,
                               write ? chain.writable : chain.readable);
}

void Queue::UndoPop(const DescriptorChain& chain) {
  HOLT_CHECK(running_ && in_flight_[chain.head]);
  in_flight_[chain.head] = false;
  --in_flight_count_;
  --next_available_;
}

void Queue::Push(uint16_t head, uint32_t written) {
  WriteUsed({head, written});
  PublishUsed();
}

void Queue::PushTogether(std::span<const Returned> chains) {
  for (const Returned& chain : chains) WriteUsed(chain);
  if (!chains.empty()) PublishUsed();
}

void Queue::WriteUsed(const Returned& returned) {
  HOLT_CHECK(running_ && returned.head < config_.size && in_flight_[returned.head]);
  in_flight_[returned.head] = false;
  --in_flight_count_;
  const size_t slot = next_used_ & (config_.size - 1);
  struct {
    uint32_t id;
    uint32_t length;
  } element{returned.head, returned.written};
  used_.Write(kRingOffset + slot * kUsedElement, element);
  ++next_used_;
}

void Queue::PublishUsed() {
  used_.StoreRelease<uint16_t>(kIndexOffset, next_used_);
  pushed_since_notify_ = true;
}

bool Queue::NeedsNotify() {
  if (!running_ || !pushed_since_notify_) return false;
  pushed_since_notify_ = false;
  // The used index must be visible before the driver's wish is read, or both sides sleep.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!config_.event_idx)
    return (available_.LoadAcquire<uint16_t>(kFlagsOffset) & kNoInterrupt) == 0;
  const auto wanted =
      available_.LoadAcquire<uint16_t>(kRingOffset + config_.size * kAvailableElement);
  const std::optional<uint16_t> before = std::exchange(notified_used_, next_used_);
  if (!before) return true;
  // 2.7.7.2: true when `wanted` was passed since the last time; all modulo 2^16.
  return static_cast<uint16_t>(next_used_ - wanted - 1) <
         static_cast<uint16_t>(next_used_ - *before);
}

void Queue::DisableNotifications() {
  // With EVENT_IDX an avail_event that is left behind does the same.
  if (running_ && !config_.event_idx) used_.StoreRelease<uint16_t>(kFlagsOffset, kNoNotify);
}

bool Queue::EnableNotifications() {
  if (!running_) return false;
  if (config_.event_idx) {
    used_.StoreRelease<uint16_t>(kRingOffset + config_.size * kUsedElement, next_available_);
  } else {
    used_.StoreRelease<uint16_t>(kFlagsOffset, 0);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return !broken_ && available_.LoadAcquire<uint16_t>(kIndexOffset) != next_available_;
}

QueueState Queue::Save() const {
  QueueState state{running_, config_};
  state.config.next_available = next_available_;
  state.config.next_used = next_used_;
  return state;
}

Status Queue::Restore(std::shared_ptr<const GuestMemory> memory, const QueueState& state) {
  Stop();
  if (!state.running) return {};
  return Start(std::move(memory), state.config);
}

}  // namespace holt::vmm
