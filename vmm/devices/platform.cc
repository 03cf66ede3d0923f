#include "vmm/devices/platform.h"

#include <algorithm>

#include "vmm/boot/acpi.h"

namespace holt::vmm {
namespace {

// pvpanic's only register (QEMU, docs/specs/pvpanic.rst): reading says which events are known.
constexpr std::byte kPanicked{1};

// An 8250 that is always ready to send (include/uapi/linux/serial_reg.h).
constexpr uint16_t kSerialPort = 0x3f8;
constexpr uint64_t kSerialPorts = 8;
constexpr uint64_t kTransmit = 0;
constexpr uint64_t kLineControl = 3;
constexpr uint64_t kLineStatus = 5;
constexpr std::byte kTransmitterEmpty{0x60};
// While set in kLineControl, the first two ports are the baud rate's divisor.
constexpr std::byte kDivisorLatch{0x80};

}  // namespace

PlatformPorts::PlatformPorts(Handlers handlers)
    : handlers_(std::move(handlers)), power_(*this), pvpanic_(*this), serial_(*this) {}

base::Status PlatformPorts::AddTo(Bus& ports) {
  static_assert(kSleepStatusPort == kSleepControlPort + 1 && kResetPort == kSleepControlPort + 2);
  TRY(ports.Add(kSleepControlPort, 3, &power_));
  TRY(ports.Add(kPvpanicPort, 1, &pvpanic_));
  return ports.Add(kSerialPort, kSerialPorts, &serial_);
}

void PlatformPorts::Power::Read(uint64_t, std::span<std::byte> out) {
  std::ranges::fill(out, std::byte{0});
}

void PlatformPorts::Power::Write(uint64_t offset, std::span<const std::byte> data) {
  const auto value = std::to_integer<uint8_t>(data[0]);
  constexpr uint8_t kOff = kSleepEnable | kSleepTypeS5 << 2;
  if (offset == 0 && (value & kOff) == kOff) platform.handlers_.on_event(Event::kPowerOff);
  if (offset == kResetPort - kSleepControlPort && value == kResetValue)
    platform.handlers_.on_event(Event::kReset);
}

void PlatformPorts::Pvpanic::Read(uint64_t, std::span<std::byte> out) {
  std::ranges::fill(out, kPanicked);
}

void PlatformPorts::Pvpanic::Write(uint64_t, std::span<const std::byte> data) {
  if ((data[0] & kPanicked) != std::byte{0}) platform.handlers_.on_event(Event::kPanic);
}

void PlatformPorts::Serial::Read(uint64_t offset, std::span<std::byte> out) {
  std::byte value{};
  if (offset == kLineStatus) value = kTransmitterEmpty;
  if (offset == kLineControl) value = line_control;
  std::ranges::fill(out, value);
}

void PlatformPorts::Serial::Write(uint64_t offset, std::span<const std::byte> data) {
  if (offset == kLineControl) line_control = data[0];
  if (offset != kTransmit || (line_control.load() & kDivisorLatch) != std::byte{0}) return;
  const char byte = std::to_integer<char>(data[0]);
  platform.handlers_.on_serial(std::string_view(&byte, 1));
}

}  // namespace holt::vmm
