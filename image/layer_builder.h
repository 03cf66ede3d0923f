#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/digest.h"
#include "image/layer/byte_source.h"
#include "image/layer/unpack.h"
#include "image/store.h"

namespace holt::image {

// A layer unpacked under the store's tmp/, not yet part of it. Dropped with its files unless Commit
// took it. The store's shared lock must be held as long as it lives.
class LayerBuilder {
 public:
  // Unpacks `source`. Errors carry the mend for a full disk.
  static base::Result<LayerBuilder> Unpack(Store& store, layer::ByteSource& source,
                                           const layer::UnpackOptions& options);
  LayerBuilder(LayerBuilder&& other) noexcept;
  LayerBuilder& operator=(LayerBuilder&&) = delete;
  LayerBuilder(const LayerBuilder&) = delete;
  ~LayerBuilder();

  const layer::UnpackResult& result() const { return result_; }

  // Completes the layer from those below it (chain ids, bottom first; all in the store) and puts it
  // into the store. Returns its chain id.
  base::Result<Digest> Commit(const std::vector<Digest>& below);

 private:
  LayerBuilder(Store& store, std::string directory)
      : store_(&store), directory_(std::move(directory)) {}
  Store* store_;
  std::string directory_;
  layer::UnpackResult result_;
};

}  // namespace holt::image
