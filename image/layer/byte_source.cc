#include "image/layer/byte_source.h"

#include <unistd.h>

namespace holt::image::layer {

base::Result<size_t> FileSource::Read(std::span<std::byte> buffer) {
  while (true) {
    ssize_t n = read(fd_, buffer.data(), buffer.size());
    if (n >= 0) return static_cast<size_t>(n);
    if (errno != EINTR) return HOLT_ERRNO("read archive");
  }
}

}  // namespace holt::image::layer
