#include <algorithm>

#include "vmm/virtio/queue.h"

namespace holt::vmm {

namespace {

// Walks `bytes` on from (index, offset), giving each piece to `visit`. The caller checked that so
// many are left.
template <typename Visit>
void Walk(std::span<const GuestSlice> slices, size_t& index, size_t& offset, uint32_t bytes,
          Visit visit) {
  while (bytes != 0) {
    const GuestSlice& slice = slices[index];
    size_t here = std::min<size_t>(bytes, slice.size() - offset);
    if (here != 0) visit(slice.Sub(offset, here));
    offset += here;
    bytes -= static_cast<uint32_t>(here);
    if (offset == slice.size()) {
      ++index;
      offset = 0;
    }
  }
}

}  // namespace

void DescriptorChain::Clear() {
  head = 0;
  readable.clear();
  writable.clear();
  readable_bytes = 0;
  writable_bytes = 0;
  memory.reset();
}

bool ChainReader::Read(std::span<std::byte> destination) {
  if (destination.size() > left_) return false;
  size_t done = 0;
  Walk(slices_, index_, offset_, static_cast<uint32_t>(destination.size()),
       [&](const GuestSlice& piece) {
         piece.CopyOut(0, destination.subspan(done, piece.size()));
         done += piece.size();
       });
  left_ -= static_cast<uint32_t>(destination.size());
  return true;
}

bool ChainReader::Skip(uint32_t bytes) {
  if (bytes > left_) return false;
  Walk(slices_, index_, offset_, bytes, [](const GuestSlice&) {});
  left_ -= bytes;
  return true;
}

uint32_t ChainReader::TakeIovecs(uint32_t bytes, std::vector<iovec>& out) {
  bytes = std::min(bytes, left_);
  Walk(slices_, index_, offset_, bytes,
       [&](const GuestSlice& piece) { out.push_back(piece.AsIovec()); });
  left_ -= bytes;
  return bytes;
}

bool ChainWriter::Write(std::span<const std::byte> source) {
  if (source.size() > left_) return false;
  const auto bytes = static_cast<uint32_t>(source.size());
  size_t done = 0;
  Walk(slices_, index_, offset_, bytes, [&](const GuestSlice& piece) {
    piece.CopyIn(0, source.subspan(done, piece.size()));
    done += piece.size();
  });
  left_ -= bytes;
  written_ += bytes;
  return true;
}

uint32_t ChainWriter::TakeIovecs(uint32_t bytes, std::vector<iovec>& out) {
  bytes = std::min(bytes, left_);
  Walk(slices_, index_, offset_, bytes,
       [&](const GuestSlice& piece) { out.push_back(piece.AsIovec()); });
  left_ -= bytes;
  written_ += bytes;
  return bytes;
}

bool ChainWriter::Advance(uint32_t bytes) {
  if (bytes > left_) return false;
  Walk(slices_, index_, offset_, bytes, [](const GuestSlice&) {});
  left_ -= bytes;
  written_ += bytes;
  return true;
}

std::optional<ChainWriter> ChainWriter::Split(uint32_t bytes) {
  ChainWriter first(slices_, index_, offset_, bytes);
  if (!Advance(bytes)) return std::nullopt;
  return first;
}

}  // namespace holt::vmm
