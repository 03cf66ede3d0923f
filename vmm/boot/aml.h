#pragma once

#include <cstdint>
#include <string>
#include <string_view>

// The few words of ACPI's machine language (ACPI 6.5, chapter 20) that our tables are written in.
// Each function returns bytes; what contains others takes them ready-made. Names are four
// characters.
namespace holt::vmm::aml {

// Name(NAME, value); `name` may start with a backslash.
std::string Name(std::string_view name, std::string_view value);
std::string Integer(uint32_t value);
// `text` is plain ASCII.
std::string Text(std::string_view text);
std::string Package(uint8_t elements, std::string_view content);
std::string Scope(std::string_view name, std::string_view content);
std::string Device(std::string_view name, std::string_view content);

// ResourceTemplate() { ... }
std::string Resources(std::string_view descriptors);
// Memory32Fixed(ReadWrite, address, bytes)
std::string FixedMemory(uint32_t address, uint32_t bytes);
// Interrupt(ResourceConsumer, Edge, ActiveHigh, Exclusive) { gsi }
std::string EdgeInterrupt(uint32_t gsi);
// IO(Decode16, port, port, 1, ports)
std::string Ports(uint16_t port, uint8_t ports);

}  // namespace holt::vmm::aml
