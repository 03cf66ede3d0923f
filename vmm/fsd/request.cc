#include "vmm/fsd/request.h"

#include <cerrno>
#include <climits>

namespace holt::fsd {

std::optional<const char*> Arguments::ReadString() {
  if (left_.empty()) return std::nullopt;
  const void* end = std::memchr(left_.data(), 0, left_.size());
  if (end == nullptr) return std::nullopt;
  const char* text = reinterpret_cast<const char*>(left_.data());
  left_ = left_.subspan(static_cast<size_t>(static_cast<const char*>(end) - text) + 1);
  return text;
}

std::optional<std::span<const std::byte>> Arguments::ReadBytes(size_t bytes) {
  if (left_.size() < bytes) return std::nullopt;
  auto out = left_.first(bytes);
  left_ = left_.subspan(bytes);
  return out;
}

int CheckName(const char* name) {
  std::string_view view(name);
  if (view.empty() || view == "." || view == "..") return EINVAL;
  if (view.size() > NAME_MAX) return ENAMETOOLONG;
  if (view.find('/') != std::string_view::npos) return EINVAL;
  return 0;
}

Request::Request(vmm::DescriptorChain& chain, std::vector<std::byte>& buffer)
    : chain_(chain), buffer_(buffer), reader_(chain), writer_(chain) {}

Request::Parsed Request::Parse() {
  const uint32_t total = reader_.left();
  if (!reader_.Read(header_)) return Parsed::kUnanswerable;
  header_writer_ = writer_.Split(sizeof(fuse_out_header));
  if (header_.len < sizeof header_ || header_.len > total) return Parsed::kBad;
  size_t bytes = header_.len - sizeof header_;
  if (header_.opcode == FUSE_WRITE) {
    bytes = std::min(bytes, sizeof(fuse_write_in));
  } else if (bytes > kMaxArguments) {
    return Parsed::kBad;
  }
  if (buffer_.size() < bytes) buffer_.resize(bytes);
  auto copy = std::span(buffer_).first(bytes);
  if (!reader_.Read(copy)) return Parsed::kBad;
  args_ = Arguments(copy);
  return Parsed::kOk;
}

uint32_t Request::Error(int err) { return Finish(err, 0); }

uint32_t Request::OkBytes(std::span<const std::byte> bytes) {
  if (!writer_.Write(bytes)) return Error(EINVAL);
  return Finish(0, static_cast<uint32_t>(bytes.size()));
}

uint32_t Request::Finish(int err, uint32_t payload) {
  if (!header_writer_) return 0;
  const uint32_t length = static_cast<uint32_t>(sizeof(fuse_out_header)) + payload;
  header_writer_->Write(fuse_out_header{length, -err, header_.unique});
  return length;
}

uint32_t WriteLateReply(const vmm::DescriptorChain& chain, uint64_t unique, int err,
                        std::span<const std::byte> payload) {
  vmm::ChainWriter writer(chain);
  if (err == 0 && writer.left() < sizeof(fuse_out_header) + payload.size()) {
    err = EINVAL;
    payload = {};
  }
  if (err != 0) payload = {};
  const uint32_t length = static_cast<uint32_t>(sizeof(fuse_out_header) + payload.size());
  if (!writer.Write(fuse_out_header{length, -err, unique})) return 0;
  writer.Write(payload);
  return length;
}

}  // namespace holt::fsd
