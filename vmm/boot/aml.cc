#include "vmm/boot/aml.h"

#include "base/result.h"

namespace holt::vmm::aml {
namespace {

using namespace std::literals;

// Opcodes (20.3).
constexpr std::string_view kNameOp = "\x08"sv;
constexpr std::string_view kBytePrefix = "\x0a"sv;
constexpr std::string_view kDWordPrefix = "\x0c"sv;
constexpr std::string_view kStringPrefix = "\x0d"sv;
constexpr std::string_view kScopeOp = "\x10"sv;
constexpr std::string_view kBufferOp = "\x11"sv;
constexpr std::string_view kPackageOp = "\x12"sv;
constexpr std::string_view kDeviceOp = "\x5b\x82"sv;

std::string Concat(std::initializer_list<std::string_view> parts) {
  std::string all;
  for (std::string_view part : parts) all += part;
  return all;
}

template <typename T>
std::string LittleEndian(T value) {
  std::string bytes;
  for (size_t i = 0; i < sizeof value; ++i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

// PkgLength (20.2.4) counts itself and what follows.
std::string WithLength(std::string_view content) {
  if (content.size() + 1 < 0x40)
    return Concat({LittleEndian<uint8_t>(static_cast<uint8_t>(content.size() + 1)), content});
  // The first byte says how many follow, and has the low four bits of the length.
  for (uint32_t more = 1; more <= 3; ++more) {
    const auto length = static_cast<uint32_t>(content.size() + 1 + more);
    if (length >= 1u << (4 + 8 * more)) continue;
    std::string bytes(1, static_cast<char>(more << 6 | (length & 0xf)));
    for (uint32_t i = 0; i < more; ++i) bytes += static_cast<char>(length >> (4 + 8 * i));
    return bytes.append(content);
  }
  HOLT_CHECK(!"an AML object of 256 MiB");
  return {};
}

std::string CheckedName(std::string_view name) {
  HOLT_CHECK((name.starts_with('\\') ? name.substr(1) : name).size() == 4);
  return std::string(name);
}

}  // namespace

std::string Name(std::string_view name, std::string_view value) {
  return Concat({kNameOp, CheckedName(name), value});
}

std::string Integer(uint32_t value) {
  if (value <= 1) return LittleEndian<uint8_t>(static_cast<uint8_t>(value));  // ZeroOp, OneOp
  if (value <= 0xff) return Concat({kBytePrefix, LittleEndian(static_cast<uint8_t>(value))});
  return Concat({kDWordPrefix, LittleEndian(value)});
}

std::string Text(std::string_view text) { return Concat({kStringPrefix, text, "\0"sv}); }

std::string Package(uint8_t elements, std::string_view content) {
  return Concat({kPackageOp, WithLength(Concat({LittleEndian(elements), content}))});
}

std::string Scope(std::string_view name, std::string_view content) {
  return Concat({kScopeOp, WithLength(Concat({CheckedName(name), content}))});
}

std::string Device(std::string_view name, std::string_view content) {
  return Concat({kDeviceOp, WithLength(Concat({CheckedName(name), content}))});
}

std::string Resources(std::string_view descriptors) {
  // End tag (6.4.2.9); a checksum of 0 stands for a good one.
  const std::string all = Concat({descriptors, "\x79\x00"sv});
  return Concat({kBufferOp, WithLength(Concat({Integer(static_cast<uint32_t>(all.size())), all}))});
}

std::string FixedMemory(uint32_t address, uint32_t bytes) {
  // 6.4.3.4: tag, length, writeable.
  return Concat({"\x86\x09\x00\x01"sv, LittleEndian(address), LittleEndian(bytes)});
}

std::string EdgeInterrupt(uint32_t gsi) {
  // 6.4.3.6: tag, length, consumer and edge and active high and exclusive, one interrupt.
  return Concat({"\x89\x06\x00\x03\x01"sv, LittleEndian(gsi)});
}

std::string Ports(uint16_t port, uint8_t ports) {
  // 6.4.2.5: tag, 16-bit decoding, lowest and highest base, alignment, length.
  return Concat(
      {"\x47\x01"sv, LittleEndian(port), LittleEndian(port), "\x01"sv, LittleEndian(ports)});
}

}  // namespace holt::vmm::aml
