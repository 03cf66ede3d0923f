#pragma once

#include <cstring>

#include "vmm/virtio/fake_driver.h"
#include "vmm/virtio/mmio.h"

namespace holt::vmm {

// The driver's side of virtio-mmio, for tests: well-behaved unless told otherwise.
class FakeMmioDriver {
 public:
  explicit FakeMmioDriver(BusDevice& device) : device_(device) {}

  uint32_t Read(MmioRegister name) {
    uint32_t value = 0;
    device_.Read(static_cast<uint64_t>(name), std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  void Write(MmioRegister name, uint32_t value) {
    device_.Write(static_cast<uint64_t>(name), std::as_bytes(std::span(&value, 1)));
  }

  uint64_t DeviceFeatures() {
    Write(MmioRegister::kDeviceFeaturesSelect, 1);
    const uint64_t high = Read(MmioRegister::kDeviceFeatures);
    Write(MmioRegister::kDeviceFeaturesSelect, 0);
    return high << 32 | Read(MmioRegister::kDeviceFeatures);
  }
  void WriteFeatures(uint64_t features) {
    Write(MmioRegister::kDriverFeaturesSelect, 0);
    Write(MmioRegister::kDriverFeatures, static_cast<uint32_t>(features));
    Write(MmioRegister::kDriverFeaturesSelect, 1);
    Write(MmioRegister::kDriverFeatures, static_cast<uint32_t>(features >> 32));
  }
  // Up to FEATURES_OK. True if the device agrees.
  bool Negotiate(uint64_t features) {
    Write(MmioRegister::kStatus, 0);
    Write(MmioRegister::kStatus, kStatusAcknowledge);
    Write(MmioRegister::kStatus, kStatusAcknowledge | kStatusDriver);
    WriteFeatures(features);
    Write(MmioRegister::kStatus, kStatusAcknowledge | kStatusDriver | kStatusFeaturesOk);
    return (Read(MmioRegister::kStatus) & kStatusFeaturesOk) != 0;
  }
  void SetQueue(uint32_t index, const QueueConfig& config) {
    auto halves = [&](MmioRegister low, MmioRegister high, GuestAddr address) {
      Write(low, static_cast<uint32_t>(address.value()));
      Write(high, static_cast<uint32_t>(address.value() >> 32));
    };
    Write(MmioRegister::kQueueSelect, index);
    Write(MmioRegister::kQueueSize, config.size);
    halves(MmioRegister::kQueueDescriptorsLow, MmioRegister::kQueueDescriptorsHigh,
           config.descriptors);
    halves(MmioRegister::kQueueDriverLow, MmioRegister::kQueueDriverHigh, config.available);
    halves(MmioRegister::kQueueDeviceLow, MmioRegister::kQueueDeviceHigh, config.used);
    Write(MmioRegister::kQueueReady, 1);
  }
  void DriverOk() { Write(MmioRegister::kStatus, Read(MmioRegister::kStatus) | kStatusDriverOk); }

 private:
  BusDevice& device_;
};

}  // namespace holt::vmm
