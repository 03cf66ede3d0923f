#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

// As much of rtnetlink (netlink(7), rtnetlink(7)) as the two sides of a container's network need,
// without a library: the agent is static, and what comes back is checked byte by byte.
namespace holt::base {

// One request under construction.
class NetlinkRequest {
 public:
  // `type` RTM_…; `flags` NLM_F_… beyond REQUEST.
  explicit NetlinkRequest(uint16_t type, uint16_t flags = 0);

  // The family's header (ifinfomsg, rtmsg, …), once, before any attribute.
  template <typename T>
  void Header(const T& header) {
    static_assert(std::is_trivially_copyable_v<T>);
    Append(std::as_bytes(std::span(&header, 1)));
  }
  void Attribute(uint16_t type, std::span<const std::byte> value);
  template <typename T>
  void Value(uint16_t type, const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    Attribute(type, std::as_bytes(std::span(&value, 1)));
  }
  // With its NUL.
  void String(uint16_t type, const std::string& value);
  void Bytes(uint16_t type, std::string_view value) {
    Attribute(type, std::as_bytes(std::span(value)));
  }
  // Header and attributes as they came in another message.
  void Payload(std::span<const std::byte> payload) { Append(payload); }
  // What is added until the matching End() is inside.
  size_t Begin(uint16_t type);
  void End(size_t begun);

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  void Append(std::span<const std::byte> bytes);
  std::vector<std::byte> bytes_;
};

// The attributes of a message or of a nest. The last of a type counts.
class NetlinkAttributes {
 public:
  // kDataLoss for lengths that do not fit.
  static Result<NetlinkAttributes> Parse(std::span<const std::byte> bytes);

  bool Has(uint16_t type) const { return values_.contains(type); }
  // The largest type that is there; 0 when none is.
  uint16_t Largest() const { return values_.empty() ? uint16_t{0} : values_.rbegin()->first; }
  // Nothing when it is missing or has another size.
  template <typename T>
  std::optional<T> Value(uint16_t type) const {
    static_assert(std::is_trivially_copyable_v<T>);
    auto it = values_.find(type);
    if (it == values_.end() || it->second.size() != sizeof(T)) return std::nullopt;
    T value;
    __builtin_memcpy(&value, it->second.data(), sizeof value);
    return value;
  }
  // Up to the first NUL; empty when it is missing.
  std::string String(uint16_t type) const;
  // Empty when it is missing.
  std::string Bytes(uint16_t type) const;
  std::span<const std::byte> Raw(uint16_t type) const;

 private:
  std::map<uint16_t, std::span<const std::byte>> values_;
};

// One message of an answer.
struct NetlinkMessage {
  uint16_t type = 0;
  std::vector<std::byte> payload;

  // The family's header; kDataLoss when the payload is shorter.
  template <typename T>
  Result<T> Header() const {
    static_assert(std::is_trivially_copyable_v<T>);
    if (payload.size() < sizeof(T))
      return MakeError(Code::kDataLoss, "netlink: message {} of {} bytes", type, payload.size());
    T header;
    __builtin_memcpy(&header, payload.data(), sizeof header);
    return header;
  }
  // What follows a header of T; refers to this message.
  template <typename T>
  Result<NetlinkAttributes> Attributes() const {
    constexpr size_t kAligned = (sizeof(T) + 3) & ~size_t{3};
    if (payload.size() <= kAligned) return NetlinkAttributes();
    return NetlinkAttributes::Parse(std::span(payload).subspan(kAligned));
  }
};

// A connection to the kernel's NETLINK_ROUTE, in the network namespace of the thread that opened
// it.
class NetlinkSocket {
 public:
  static Result<NetlinkSocket> Open();
  // A nonblocking socket on which what happens to `groups` (RTMGRP_…) arrives, in the namespace of
  // the calling thread.
  static Result<UniqueFd> Subscribe(uint32_t groups);
  // On a socket that something else answers, for tests.
  explicit NetlinkSocket(UniqueFd fd) : fd_(std::move(fd)) {}

  // Sends and waits for the acknowledgement. The error carries the kernel's errno, and its words
  // where it has any.
  Status Do(const NetlinkRequest& request);
  // Sends it as a dump and returns all that comes. A dump that the kernel had to interrupt
  // is asked for again.
  Result<std::vector<NetlinkMessage>> Dump(const NetlinkRequest& request);

 private:
  Result<std::vector<NetlinkMessage>> Exchange(const NetlinkRequest& request, uint16_t flags,
                                               bool& interrupted);

  UniqueFd fd_;
  uint32_t sequence_ = 0;
};

// Reads the messages of one datagram. kDataLoss for lengths that do not fit. For the fuzzer and
// NetlinkSocket; NLMSG_ERROR with code 0 and NLMSG_DONE set `done`, an error is returned.
Status ParseNetlinkDatagram(std::span<const std::byte> datagram, uint32_t sequence,
                            std::vector<NetlinkMessage>& messages, bool& done, bool& interrupted);

}  // namespace holt::base
