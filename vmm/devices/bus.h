#pragma once

#include <cstdint>
#include <map>
#include <span>

#include "base/result.h"

namespace holt::vmm {

// What answers to a range of addresses. Called from vCPU threads, several at once; the guest
// chooses offset and size (1 to 8 bytes, inside the range).
class BusDevice {
 public:
  virtual ~BusDevice() = default;
  virtual void Read(uint64_t offset, std::span<std::byte> out) = 0;
  virtual void Write(uint64_t offset, std::span<const std::byte> data) = 0;
};

// Ports or memory-mapped registers. Filled before the first vCPU runs, then only read.
class Bus {
 public:
  // `device` is borrowed. An empty, wrapping or overlapping range is an error.
  base::Status Add(uint64_t start, uint64_t bytes, BusDevice* device);

  // Where nothing answers, or an access leaves its device, reads give ones and writes are lost, as
  // on a real bus.
  void Read(uint64_t address, std::span<std::byte> out) const;
  void Write(uint64_t address, std::span<const std::byte> data) const;

 private:
  struct Range {
    uint64_t bytes;
    BusDevice* device;
  };
  const std::pair<const uint64_t, Range>* Find(uint64_t address, size_t bytes) const;

  std::map<uint64_t, Range> ranges_;
};

}  // namespace holt::vmm
