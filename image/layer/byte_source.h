#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace holt::image::layer {

// Where the bytes of an archive come from: a file, or a download that is still going on.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Fills some or all of `buffer`; 0 is the end. May block.
  virtual base::Result<size_t> Read(std::span<std::byte> buffer) = 0;
};

// A file from its current position on. The descriptor is borrowed.
class FileSource : public ByteSource {
 public:
  explicit FileSource(int fd) : fd_(fd) {}
  base::Result<size_t> Read(std::span<std::byte> buffer) override;

 private:
  int fd_;
};

}  // namespace holt::image::layer
