#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace holt::rpc {

// A datagram on a stream: two bytes of length, the higher one first, then the datagram; as DNS has
// it over TCP (RFC 1035, 4.2.2).
inline constexpr size_t kMaxDatagram = UINT16_MAX;

// A notification (sd_notify(3)) is no longer than systemd takes one: PIPE_BUF.
inline constexpr size_t kMaxNotification = 4096;

// `datagram` is at most kMaxDatagram bytes long.
inline std::string FrameDatagram(std::string_view datagram) {
  std::string framed;
  framed.reserve(datagram.size() + 2);
  framed.push_back(static_cast<char>(datagram.size() >> 8));
  framed.push_back(static_cast<char>(datagram.size() & 0xff));
  return framed.append(datagram);
}

// The datagram at the beginning of what was read so far; nullopt: there is more to come.
inline std::optional<std::string_view> TakeDatagram(std::string_view read) {
  if (read.size() < 2) return std::nullopt;
  const size_t length = static_cast<size_t>(static_cast<uint8_t>(read[0])) << 8 |
                        static_cast<size_t>(static_cast<uint8_t>(read[1]));
  if (read.size() - 2 < length) return std::nullopt;
  return read.substr(2, length);
}

}  // namespace holt::rpc
