#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/layer/byte_source.h"

struct archive;

namespace holt::image::layer {

// gzip, zstd, xz, bzip2 or nothing, found out from the bytes themselves (media types lie).
class Decompressor {
 public:
  // `source` is borrowed and read to its end.
  static base::Result<std::unique_ptr<Decompressor>> Open(ByteSource& source);
  ~Decompressor();
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  // The next bytes, valid until the next call; empty is the end.
  base::Result<std::span<const std::byte>> Next();

  // "gzip", "zstd", "xz", "bzip2", "none".
  std::string filter() const;

 private:
  explicit Decompressor(ByteSource& source) : source_(source), buffer_(256 << 10) {}
  static long OnRead(archive* handle, void* self, const void** out);
  base::Error MakeArchiveError(const char* what);

  ByteSource& source_;
  std::vector<std::byte> buffer_;
  archive* handle_ = nullptr;
  bool empty_ = false;
  // The error of `source_`, which libarchive would only repeat less well.
  std::unique_ptr<base::Error> source_error_;
};

}  // namespace holt::image::layer
