#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "vmm/memory/guest_memory.h"

// What the guest is told of its hardware: hardware-reduced ACPI (ACPI 6.5, 4.1) without any legacy
// device. Processors, one IO-APIC, virtio-mmio devices, pvpanic, and registers to power off and
// reset.
namespace holt::vmm {

// Ports of the platform; vmm/devices/platform.h serves them.
inline constexpr uint16_t kSleepControlPort = 0x600;
inline constexpr uint16_t kSleepStatusPort = 0x601;
inline constexpr uint16_t kResetPort = 0x602;
inline constexpr uint16_t kPvpanicPort = 0x605;
// What is written there: SLP_EN and the type that \_S5 names (4.8.3.7), and our reset value.
inline constexpr uint8_t kSleepTypeS5 = 5;
inline constexpr uint8_t kSleepEnable = 1 << 5;
inline constexpr uint8_t kResetValue = 1;

struct MmioDevice {
  uint64_t address = 0;
  uint32_t bytes = 0;
  uint32_t gsi = 0;
};

// The tables as they stand in memory from `address` on. RSDP comes first.
std::string BuildAcpiTables(uint64_t address, uint32_t vcpus, std::span<const MmioDevice> devices);

}  // namespace holt::vmm
