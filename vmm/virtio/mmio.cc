#include "vmm/virtio/mmio.h"

#include <bit>
#include <cstring>
#include <optional>

namespace holt::vmm {

using base::Status;

namespace {

constexpr uint32_t kMagicValue = 0x74726976;  // "virt"
constexpr uint32_t kVendor = 0x544c4f48;      // "HOLT"
constexpr uint32_t kNoSharedMemory = UINT32_MAX;

constexpr uint32_t Half(uint64_t value, uint32_t select) {
  if (select > 1) return 0;
  return static_cast<uint32_t>(value >> (32 * select));
}

void SetHalf(uint64_t& target, unsigned half, uint32_t value) {
  const unsigned shift = 32 * half;
  target = (target & ~(uint64_t{UINT32_MAX} << shift)) | uint64_t{value} << shift;
}

// Registers are read and written as whole 32-bit words (4.2.2.2).
std::optional<MmioRegister> RegisterAt(uint64_t offset, size_t bytes) {
  if (bytes != 4 || offset % 4 != 0) return std::nullopt;
  return static_cast<MmioRegister>(offset);
}

}  // namespace

void MmioTransport::Read(uint64_t offset, std::span<std::byte> out) {
  std::memset(out.data(), 0, out.size());
  constexpr auto kConfigStart = static_cast<uint64_t>(MmioRegister::kConfig);
  if (offset >= kConfigStart)
    return options_.device->ReadConfig(static_cast<uint32_t>(offset - kConfigStart), out);
  const auto name = RegisterAt(offset, out.size());
  if (!name) return;
  uint32_t value = 0;
  if (*name == MmioRegister::kInterruptStatus) {
    // Once an interrupt: no lock. Interrupts of queues that are served elsewhere pass us by, so
    // that the answer is always "perhaps".
    value = interrupt_status_.load(std::memory_order_acquire);
    if (options_.device->External()) value |= kInterruptUsedBuffer;
  } else {
    std::lock_guard lock(mutex_);
    value = ReadRegister(*name);
  }
  std::memcpy(out.data(), &value, sizeof value);
}

uint32_t MmioTransport::ReadRegister(MmioRegister name) const {
  const bool selected = state_.queue_select < state_.queues.size();
  switch (name) {
    case MmioRegister::kMagic:
      return kMagicValue;
    case MmioRegister::kVersion:
      return 2;
    case MmioRegister::kDeviceId:
      return options_.device->Type();
    case MmioRegister::kVendorId:
      return kVendor;
    case MmioRegister::kDeviceFeatures:
      return Half(device_features_, state_.device_features_select);
    case MmioRegister::kQueueSizeMax:
      return selected ? queue_sizes_[state_.queue_select] : 0;
    case MmioRegister::kQueueReady:
      return selected && state_.queues[state_.queue_select].ready ? 1 : 0;
    case MmioRegister::kStatus:
      return state_.status | (needs_reset_.load() ? kStatusNeedsReset : 0);
    case MmioRegister::kSharedMemoryLengthLow:
    case MmioRegister::kSharedMemoryLengthHigh:
    case MmioRegister::kSharedMemoryBaseLow:
    case MmioRegister::kSharedMemoryBaseHigh:
      return kNoSharedMemory;
    case MmioRegister::kConfigGeneration:
      return config_generation_.load();
    default:
      return 0;
  }
}

void MmioTransport::Write(uint64_t offset, std::span<const std::byte> data) {
  // No device of ours has a configuration that the driver may write.
  if (offset >= static_cast<uint64_t>(MmioRegister::kConfig)) return;
  const auto name = RegisterAt(offset, data.size());
  if (!name) return;
  uint32_t value = 0;
  std::memcpy(&value, data.data(), sizeof value);
  switch (*name) {
    case MmioRegister::kInterruptAck:
      interrupt_status_.fetch_and(~value, std::memory_order_acq_rel);
      return;
    case MmioRegister::kStatus:
      return WriteStatus(value);
    default:
      break;
  }
  std::lock_guard lock(mutex_);
  WriteRegister(*name, value);
}

void MmioTransport::WriteRegister(MmioRegister name, uint32_t value) {
  switch (name) {
    case MmioRegister::kDeviceFeaturesSelect:
      state_.device_features_select = value;
      return;
    case MmioRegister::kDriverFeaturesSelect:
      state_.driver_features_select = value;
      return;
    case MmioRegister::kDriverFeatures:
      if ((state_.status & kStatusDriver) == 0 || (state_.status & kStatusFeaturesOk) != 0) return;
      if (state_.driver_features_select <= 1)
        SetHalf(state_.driver_features, state_.driver_features_select, value);
      return;
    case MmioRegister::kQueueSelect:
      state_.queue_select = value;
      return;
    case MmioRegister::kQueueNotify: {
      // Where no ioeventfd catches it.
      const uint64_t one = 1;
      if (value < kicks_.size() && write(kicks_[value].get(), &one, sizeof one) < 0) return;
      return;
    }
    default:
      return WriteQueueRegister(name, value);
  }
}

void MmioTransport::WriteQueueRegister(MmioRegister name, uint32_t value) {
  // Frozen from DRIVER_OK on, and not before features are agreed upon.
  const uint32_t phase = state_.status & (kStatusFeaturesOk | kStatusDriverOk);
  if (phase != kStatusFeaturesOk || state_.queue_select >= state_.queues.size()) return;
  MmioState::QueueRegisters& queue = state_.queues[state_.queue_select];
  if (name == MmioRegister::kQueueReady) return SetQueueReady(queue, value);
  if (queue.ready) return;
  switch (name) {
    case MmioRegister::kQueueSize:
      queue.size = value;
      return;
    case MmioRegister::kQueueDescriptorsLow:
      return SetHalf(queue.descriptors, 0, value);
    case MmioRegister::kQueueDescriptorsHigh:
      return SetHalf(queue.descriptors, 1, value);
    case MmioRegister::kQueueDriverLow:
      return SetHalf(queue.driver, 0, value);
    case MmioRegister::kQueueDriverHigh:
      return SetHalf(queue.driver, 1, value);
    case MmioRegister::kQueueDeviceLow:
      return SetHalf(queue.device, 0, value);
    case MmioRegister::kQueueDeviceHigh:
      return SetHalf(queue.device, 1, value);
    default:
      return;
  }
}

void MmioTransport::SetQueueReady(MmioState::QueueRegisters& queue, uint32_t value) {
  if (value == 0) {
    queue.ready = false;
    return;
  }
  // The addresses are looked at when the device starts.
  const uint32_t max = queue_sizes_[state_.queue_select];
  queue.ready = queue.size <= max && std::has_single_bit(queue.size);
}

void MmioTransport::WriteStatus(uint32_t value) {
  {
    std::lock_guard lock(mutex_);
    const bool starts = (value & ~state_.status & kStatusDriverOk) != 0;
    if (value != 0 && !starts) {
      // Bits are only ever added (2.1.1); NEEDS_RESET is ours.
      value &= ~kStatusNeedsReset;
      if ((state_.status & ~value) != 0) return;
      if ((value & ~state_.status & kStatusFeaturesOk) != 0) {
        const bool agreed = (state_.driver_features & ~device_features_) == 0 &&
                            (state_.driver_features & kFeatureVersion1) != 0 &&
                            (value & kStatusDriver) != 0;
        if (!agreed) value &= ~kStatusFeaturesOk;
      }
      state_.status = value;
      return;
    }
  }
  options_.run_in_loop([this, value] { ChangeStatusInLoop(value); });
}

}  // namespace holt::vmm
