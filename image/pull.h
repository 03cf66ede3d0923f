#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/result.h"
#include "image/layer/limits.h"
#include "image/progress.h"
#include "image/reference.h"
#include "image/store.h"

namespace holt::image {

// When to try again, and for how long.
struct RetryPolicy {
  int attempts = 6;                            // in all
  std::chrono::milliseconds first_delay{500};  // doubles, with jitter
  std::chrono::milliseconds longest_delay{20'000};
  std::chrono::milliseconds longest_retry_after{90'000};  // a server that asks for more is an error
};

struct NetworkTimeouts {
  std::chrono::milliseconds connect{20'000};
  // A transfer slower than this many bytes a second for this long is cut and resumed.
  int64_t slow_bytes_per_second = 64;
  std::chrono::seconds slow_for{30};
};

struct PullOptions {
  std::string platform;    // "linux/arm64", "linux/arm/v7"; empty: this machine
  bool tls_verify = true;  // --tls-verify=false: any certificate, and plain http
  std::string auth_file;   // --authfile; empty: the usual places
  int parallel = 4;        // layers at a time
  RetryPolicy retry;
  NetworkTimeouts timeouts;
  layer::UnpackLimits limits;
  Progress* progress = nullptr;  // borrowed
};

// Fetches what `reference` names, unpacks its layers and records the image. Layers that the store
// has are not fetched. Messages name the image, the cause and the mend.
base::Result<StoredImage> PullImage(Store& store, const Reference& reference,
                                    const PullOptions& options);

}  // namespace holt::image
