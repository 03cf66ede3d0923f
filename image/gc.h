#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/store.h"

namespace holt::image {

struct GcOptions {
  bool dry_run = false;
  bool all = false;  // also downloads that a pull could still resume
  // How long to wait for pulls and imports that run; they hold the store.
  std::chrono::milliseconds patience{0};
};

// One thing that went, or would go.
struct Garbage {
  enum class Kind { kRoot, kLayer, kBlob, kDownload, kTemporary };
  Kind kind;
  std::string name;    // container id, short digest, file name
  uint64_t bytes = 0;  // 0: not counted
};

// Removes what no image and no living container uses, debris of crashed processes included. Returns
// what went; kDeadlineExceeded if somebody else holds the store.
base::Result<std::vector<Garbage>> CollectGarbage(Store& store, const GcOptions& options);

}  // namespace holt::image
