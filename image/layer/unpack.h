#pragma once

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "image/digest.h"
#include "image/layer/byte_source.h"
#include "image/layer/limits.h"
#include "image/store.h"

namespace holt::image::layer {

// What Fixup needs to know of a layer once those below it are there.
struct Leftovers {
  std::set<std::string> implicit_directories;
  std::vector<std::pair<std::string, std::string>> missing_links;  // (path, target)
  bool opaque_root = false;
  bool implicit_root = false;  // no entry described the root directory itself

  bool empty() const {
    return implicit_directories.empty() && missing_links.empty() && !opaque_root && !implicit_root;
  }
};

struct UnpackResult {
  Digest blob;     // of the bytes as they came
  Digest diff_id;  // of the bytes decompressed
  uint64_t blob_size = 0;
  uint64_t size = 0;  // of file content
  uint64_t entries = 0;
  Leftovers leftovers;
};

struct UnpackOptions {
  Driver driver = Driver::kOverlay;
  UnpackLimits limits;
  // What the bytes should be; empty: not known, whatever they are is right. A digest that does not
  // fit is the error even where the archive is damaged too: it says more.
  Digest expected_blob;
  Digest expected_diff_id;
};

// Unpacks the (compressed) tar from `source` into the empty directory `root`, in the form `driver`
// wants. Decompression and both hashes run on a thread of their own. Needs root's capabilities for
// owners, device nodes and whiteouts. On an error `root` holds rubbish.
base::Result<UnpackResult> UnpackLayer(ByteSource& source, const std::string& root,
                                       const UnpackOptions& options);

// Completes the layer at `root` from the layers below it (`lower`: their roots, top first):
// directories no entry described take owner, mode and times from below, as a union mount would have
// had it; hard links to a lower layer's file become copies of it; an opaque root hides all of
// below.
base::Status Fixup(const std::string& root, const std::vector<std::string>& lower,
                   const Leftovers& leftovers, Driver driver);

}  // namespace holt::image::layer
