#include "image/layer_builder.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "image/store_json.h"

namespace holt::image {

using base::Result;
using base::Status;

Result<LayerBuilder> LayerBuilder::Unpack(Store& store, layer::ByteSource& source,
                                          const layer::UnpackOptions& options) {
  TRY_ASSIGN(std::string directory, store.NewTemporary("layer"));
  LayerBuilder builder(store, std::move(directory));
  std::string root = builder.directory_ + "/fs";
  // What a root directory is when no layer says otherwise; mkdir alone obeys the umask.
  if (mkdir(root.c_str(), 0755) != 0 || chmod(root.c_str(), 0755) != 0)
    return HOLT_ERRNO("make {}", root);
  auto result = layer::UnpackLayer(source, root, options);
  if (!result) return ExplainSpace(std::move(result).error(), store.path());
  builder.result_ = std::move(*result);
  return builder;
}

LayerBuilder::LayerBuilder(LayerBuilder&& other) noexcept
    : store_(other.store_),
      directory_(std::move(other.directory_)),
      result_(std::move(other.result_)) {
  other.directory_.clear();
}

LayerBuilder::~LayerBuilder() {
  if (directory_.empty()) return;
  if (Status removed = base::RemoveTree(directory_); !removed)
    base::log::Warning("image store: {}", removed.error().message());
}

Result<Digest> LayerBuilder::Commit(const std::vector<Digest>& below) {
  std::vector<std::string> lower;
  for (auto it = below.rbegin(); it != below.rend(); ++it) lower.push_back(store_->LayerRoot(*it));
  Status fixed = layer::Fixup(directory_ + "/fs", lower, result_.leftovers, store_->driver());
  if (!fixed) return ExplainSpace(std::move(fixed).error(), store_->path());
  LayerInfo info;
  Digest parent = below.empty() ? Digest() : below.back();
  Digest chain_id = ChainId(parent, result_.diff_id);
  info.chain_id = chain_id.text();
  info.diff_id = result_.diff_id.text();
  info.parent = parent.text();
  info.blob_digest = result_.blob.text();
  info.size = result_.size;
  info.entries = result_.entries;
  Status committed = store_->CommitLayer(directory_, info);
  if (!committed) return ExplainSpace(std::move(committed).error(), store_->path());
  directory_.clear();
  return chain_id;
}

}  // namespace holt::image
