#pragma once

#include <atomic>
#include <functional>
#include <string_view>

#include "vmm/devices/bus.h"

namespace holt::vmm {

// The few ports of our machines: ACPI's sleep and reset registers and pvpanic (vmm/boot/acpi.h),
// and at 0x3f8 as much of a serial port as a kernel's last words before hvc0 need.
class PlatformPorts {
 public:
  enum class Event { kPowerOff, kReset, kPanic };
  struct Handlers {
    // From vCPU threads. The guest may go on for a while after either.
    std::function<void(Event)> on_event;
    std::function<void(std::string_view)> on_serial;
  };
  explicit PlatformPorts(Handlers handlers);

  base::Status AddTo(Bus& ports);

 private:
  struct Port : BusDevice {
    explicit Port(PlatformPorts& owner) : platform(owner) {}
    PlatformPorts& platform;
  };
  struct Power : Port {
    using Port::Port;
    void Read(uint64_t offset, std::span<std::byte> out) override;
    void Write(uint64_t offset, std::span<const std::byte> data) override;
  };
  struct Pvpanic : Port {
    using Port::Port;
    void Read(uint64_t offset, std::span<std::byte> out) override;
    void Write(uint64_t offset, std::span<const std::byte> data) override;
  };
  struct Serial : Port {
    using Port::Port;
    void Read(uint64_t offset, std::span<std::byte> out) override;
    void Write(uint64_t offset, std::span<const std::byte> data) override;
    std::atomic<std::byte> line_control{};
  };

  Handlers handlers_;
  Power power_;
  Pvpanic pvpanic_;
  Serial serial_;
};

}  // namespace holt::vmm
