#include "rpc/frame.h"

#include <algorithm>

namespace holt::rpc {
namespace {

void AppendU32(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift);
}

uint32_t ReadU32(std::string_view bytes) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

}  // namespace

void AppendFrame(std::string& out, const FrameHeader& header, std::string_view data) {
  AppendU32(out, static_cast<uint32_t>(data.size()));
  AppendU32(out, header.stream_id);
  out += static_cast<char>(header.type);
  out += static_cast<char>(header.flags);
  out += data;
}

FrameHeader ParseFrameHeader(std::string_view bytes) {
  return {.length = ReadU32(bytes),
          .stream_id = ReadU32(bytes.substr(4)),
          .type = static_cast<FrameType>(bytes[8]),
          .flags = static_cast<uint8_t>(bytes[9])};
}

void FrameReader::Append(std::string_view bytes) {
  uint64_t drop = std::min<uint64_t>(discard_, bytes.size());
  discard_ -= drop;
  bytes.remove_prefix(drop);
  if (consumed_ > 0 && (consumed_ == buffer_.size() || consumed_ > 65536)) {
    buffer_.erase(0, consumed_);
    consumed_ = 0;
  }
  buffer_ += bytes;
}

std::optional<FrameReader::Frame> FrameReader::Next() {
  std::string_view pending = std::string_view(buffer_).substr(consumed_);
  if (pending.size() < kFrameHeaderBytes) return std::nullopt;
  Frame frame{.header = ParseFrameHeader(pending), .data = {}};
  if (frame.header.length > kMaxFrameBytes) {
    uint64_t have = std::min<uint64_t>(frame.header.length, pending.size() - kFrameHeaderBytes);
    consumed_ += kFrameHeaderBytes + have;
    discard_ = frame.header.length - have;
    frame.oversize = true;
    return frame;
  }
  if (pending.size() - kFrameHeaderBytes < frame.header.length) return std::nullopt;
  frame.data = pending.substr(kFrameHeaderBytes, frame.header.length);
  consumed_ += kFrameHeaderBytes + frame.header.length;
  return frame;
}

}  // namespace holt::rpc
