#pragma once

#include <cstdint>

namespace holt::image::layer {

// What one layer may cost this machine; more is refused as a bomb. Generous: the largest honest
// layers seen are tens of gigabytes and under a million entries.
struct UnpackLimits {
  uint64_t max_bytes = 256ULL << 30;  // uncompressed
  uint64_t max_entries = 8'000'000;
  // Uncompressed over compressed, looked at once `ratio_after` bytes came out. deflate cannot do
  // better than 1032.
  uint64_t max_ratio = 500;
  uint64_t ratio_after = 4ULL << 30;
  uint64_t max_path = 4095;            // PATH_MAX without its NUL
  uint64_t max_xattr_bytes = 1 << 20;  // of one entry
};

}  // namespace holt::image::layer
