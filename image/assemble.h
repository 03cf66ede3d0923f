#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/digest.h"
#include "image/layer/byte_source.h"
#include "image/layer/limits.h"
#include "image/progress.h"
#include "image/store.h"
#include "oci/image_spec.h"

// The second half of a pull and of an import: an image whose manifest and configuration are known,
// and whose layers come from somewhere, becomes an image of the store.
namespace holt::image {

using Cancelled = std::function<bool()>;

// The bytes of one layer. Read returns kCancelled soon after the `Cancelled` it was opened with
// says so.
class LayerSource : public layer::ByteSource {
 public:
  // The content was whole and right: what was kept to resume may go.
  virtual void Accept() {}
  // The content was wrong, or the disk is full: what was kept to resume goes. True if another
  // attempt may bring the right content.
  virtual bool Reject() { return false; }
};

struct LayerPlan {
  Digest diff_id;     // of the uncompressed tar, from the configuration
  Digest blob;        // of the bytes as they come; empty: not known
  uint64_t size = 0;  // of the bytes as they come; 0: not known
  std::string label;  // what progress calls it
  // Called only if the store does not have the layer.
  std::function<base::Result<std::unique_ptr<LayerSource>>(const Cancelled&)> open;
};

struct ImagePlan {
  std::string name;   // canonical reference, or empty
  std::string index;  // the index the manifest was chosen from, if there was one
  std::string manifest;
  std::string config;
  std::vector<LayerPlan> layers;  // bottom first
};

struct AssembleOptions {
  int parallel = 4;  // layers at a time
  layer::UnpackLimits limits;
  Progress* progress = nullptr;  // borrowed; null: none
};

// Checks that manifest and configuration speak of the same layers and fills `plan.layers` but
// `open`.
base::Status PlanLayers(const oci::ImageManifest& manifest, const oci::ImageConfig& config,
                        ImagePlan& plan);

// Unpacks what is missing, several layers at a time, makes it durable and records the image. The
// caller holds the store's shared lock. Other processes may do the same with the same layers: each
// layer is unpacked by one of them.
base::Result<StoredImage> Assemble(Store& store, const ImagePlan& plan,
                                   const AssembleOptions& options);

}  // namespace holt::image
