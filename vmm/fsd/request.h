#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "vmm/fsd/fuse_abi.h"
#include "vmm/virtio/queue.h"

namespace holt::fsd {

// Arguments of a request: a copy that the guest cannot change any more, read from front to back.
class Arguments {
 public:
  Arguments() = default;
  explicit Arguments(std::span<const std::byte> bytes) : left_(bytes) {}

  size_t left() const { return left_.size(); }

  template <typename T>
  bool Read(T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (left_.size() < sizeof(T)) return false;
    std::memcpy(&value, left_.data(), sizeof(T));
    left_ = left_.subspan(sizeof(T));
    return true;
  }
  // A structure that grew: reads `bytes` of it and leaves the rest zero.
  template <typename T>
  bool ReadPrefix(T& value, size_t bytes) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (bytes > sizeof(T) || left_.size() < bytes) return false;
    value = T{};
    std::memcpy(&value, left_.data(), bytes);
    left_ = left_.subspan(bytes);
    return true;
  }
  // A string that ends in NUL (which is consumed and not part of the view). Nothing when none does.
  std::optional<const char*> ReadString();
  std::optional<std::span<const std::byte>> ReadBytes(size_t bytes);

 private:
  std::span<const std::byte> left_;
};

// 0 when `name` is one component that can be looked up in a directory without leaving it, else the
// errno to answer with: no "/", not "", "." or "..", at most NAME_MAX bytes.
int CheckName(const char* name);

// One request while it is handled: the header and arguments (copied once), bulk data still in the
// guest, and the reply. Made by Parse().
class Request {
 public:
  // Bytes of arguments that any operation may have; only WRITE's data is more, and is not copied.
  static constexpr size_t kMaxArguments = size_t{80} * 1024;

  enum class Parsed {
    kOk,
    kUnanswerable,  // too short for a header: there is nothing to answer to
    kBad,           // answer with EINVAL
  };

  // `buffer` keeps the copied arguments and is reused from request to request.
  Request(vmm::DescriptorChain& chain, std::vector<std::byte>& buffer);
  Parsed Parse();

  const fuse_in_header& header() const { return header_; }
  Arguments& args() { return args_; }
  // The bulk data after WRITE's structure.
  vmm::ChainReader& data() { return reader_; }
  // For answers that come later: takes the buffers away. The request is used no more.
  vmm::DescriptorChain TakeChain() { return std::move(chain_); }

  // Bytes of reply there is room for behind the header.
  uint32_t room() const { return writer_.left(); }
  vmm::ChainWriter& writer() { return writer_; }

  // Each finishes the reply and returns its length, which is what Queue::Push wants; 0 when the
  // guest left no room for even a header.
  uint32_t Error(int err);  // a positive errno
  uint32_t Ok() { return Finish(0, 0); }
  uint32_t OkBytes(std::span<const std::byte> bytes);
  template <typename T>
  uint32_t Ok(const T& value) {
    return OkBytes(std::as_bytes(std::span(&value, 1)));
  }
  template <typename A, typename B>
  uint32_t Ok(const A& a, const B& b) {
    if (room() < sizeof a + sizeof b) return Error(EINVAL);
    writer_.Write(a);
    writer_.Write(b);
    return Finish(0, sizeof a + sizeof b);
  }
  // `bytes` of data are in place already, through writer().
  uint32_t OkInPlace(uint32_t bytes) { return Finish(0, bytes); }

 private:
  uint32_t Finish(int err, uint32_t payload);

  vmm::DescriptorChain& chain_;
  std::vector<std::byte>& buffer_;
  vmm::ChainReader reader_;
  vmm::ChainWriter writer_;
  std::optional<vmm::ChainWriter> header_writer_;
  fuse_in_header header_{};
  Arguments args_;
};

// Writes a reply of an error or of nothing to a request that was put aside; returns its length.
uint32_t WriteLateReply(const vmm::DescriptorChain& chain, uint64_t unique, int err,
                        std::span<const std::byte> payload = {});

}  // namespace holt::fsd
