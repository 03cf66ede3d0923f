#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

// The framing of ttrpc (github.com/containerd/ttrpc, PROTOCOL.md): a 10-byte header, then the data.
namespace holt::rpc {

enum class FrameType : uint8_t { kRequest = 1, kResponse = 2, kData = 3 };

inline constexpr uint8_t kFlagRemoteClosed = 0x01;
inline constexpr uint8_t kFlagRemoteOpen = 0x02;
inline constexpr uint8_t kFlagNoData = 0x04;

inline constexpr size_t kFrameHeaderBytes = 10;
// messageLengthMax of the Go implementation. A longer frame is read and thrown away.
inline constexpr uint32_t kMaxFrameBytes = 4 << 20;

struct FrameHeader {
  uint32_t length = 0;     // of the data after the header
  uint32_t stream_id = 0;  // odd when the client chose it
  FrameType type = FrameType::kRequest;
  uint8_t flags = 0;
};

void AppendFrame(std::string& out, const FrameHeader& header, std::string_view data);
// `bytes` holds at least kFrameHeaderBytes.
FrameHeader ParseFrameHeader(std::string_view bytes);

// Cuts a byte stream into frames. Memory stays below one frame of the largest size: what is longer
// is dropped as it comes, and reported with `oversize` once its header was seen.
class FrameReader {
 public:
  struct Frame {
    FrameHeader header;
    std::string data;
    bool oversize = false;
  };

  void Append(std::string_view bytes);
  // The next whole frame, or nothing yet.
  std::optional<Frame> Next();

 private:
  std::string buffer_;
  size_t consumed_ = 0;
  uint64_t discard_ = 0;
};

}  // namespace holt::rpc
