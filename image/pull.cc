#include "image/pull.h"

#include <variant>

#include "image/assemble.h"
#include "image/platform.h"
#include "image/registry/blob.h"
#include "image/registry/registry.h"

namespace holt::image {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

constexpr int kDeepestIndex = 4;

Result<Digest> CheckEmbedded(const oci::Descriptor& descriptor) {
  TRY_ASSIGN(Digest digest, Digest::Parse(descriptor.digest));
  if (descriptor.size <= 0 || static_cast<uint64_t>(descriptor.size) > oci::kMaxManifestBytes)
    return MakeError(Code::kInvalidArgument, "manifest {}: the index says it has {} bytes",
                     digest.Short(), descriptor.size);
  return digest;
}

// From the name to the manifest for the platform, through indexes.
Result<oci::ImageManifest> FindManifest(registry::Registry& registry, const Reference& reference,
                                        const oci::Platform& platform, ImagePlan& plan) {
  std::string key = reference.ManifestKey();
  std::string expected_type;
  for (int depth = 0; depth < kDeepestIndex; ++depth) {
    TRY_ASSIGN(registry::Registry::Manifest served, registry.FetchManifest(key));
    if (!expected_type.empty() && served.media_type != expected_type)
      return MakeError(Code::kInvalidArgument,
                       "manifest: served as {}, but the index says it is {}",
                       served.media_type.substr(0, 150), expected_type.substr(0, 150));
    TRY_ASSIGN(auto parsed, oci::ParseManifest(served.text, served.media_type));
    if (auto* manifest = std::get_if<oci::ImageManifest>(&parsed)) {
      plan.manifest = std::move(served.text);
      return std::move(*manifest);
    }
    if (plan.index.empty()) plan.index = std::move(served.text);
    TRY_ASSIGN(oci::Descriptor chosen, SelectManifest(std::get<oci::ImageIndex>(parsed), platform));
    TRY_ASSIGN(Digest digest, CheckEmbedded(chosen));
    key = digest.text();
    expected_type = chosen.media_type;
  }
  return MakeError(Code::kInvalidArgument, "indexes within indexes, more than {} deep",
                   kDeepestIndex);
}

Result<StoredImage> Pull(Store& store, const Reference& reference, const PullOptions& options) {
  TRY_ASSIGN(oci::Platform platform, ParsePlatform(options.platform));
  TRY_ASSIGN(auto registry, registry::Registry::Open(reference, options));
  ImagePlan plan;
  plan.name = reference.ToString();
  TRY_ASSIGN(oci::ImageManifest manifest, FindManifest(*registry, reference, platform, plan));
  auto text = registry->FetchBlob(manifest.config, oci::kMaxImageConfigBytes);
  if (!text) return std::move(text).error().Wrap("configuration");
  plan.config = std::move(*text);
  TRY_ASSIGN(oci::ImageConfig config, oci::ParseImageConfig(plan.config));
  // A single image is taken only if it is for the platform that was asked for.
  oci::Platform offered{config.architecture, config.os, config.os_version, config.variant};
  if (!PlatformFits(platform, offered))
    return MakeError(Code::kNotFound, "there is no image for {} under this name; there is: {}",
                     PlatformText(platform), PlatformText(offered));
  TRY(PlanLayers(manifest, config, plan));
  for (LayerPlan& layer : plan.layers) {
    if (layer.size == 0)
      return MakeError(Code::kInvalidArgument, "layer {}: the manifest says it has no bytes",
                       layer.label);
    layer.open = [&registry = *registry, &store, &layer](const Cancelled& cancelled) {
      return registry::OpenLayer(registry, store, layer, cancelled);
    };
  }
  AssembleOptions assemble;
  assemble.parallel = options.parallel;
  assemble.limits = options.limits;
  assemble.progress = options.progress;
  return Assemble(store, plan, assemble);
}

}  // namespace

Result<StoredImage> PullImage(Store& store, const Reference& reference,
                              const PullOptions& options) {
  store.RemoveStaleTemporaries();
  TRY_ASSIGN(FileLock lock, store.LockShared());
  auto image = Pull(store, reference, options);
  if (!image) return std::move(image).error().Wrap("pull " + reference.ToString());
  return image;
}

}  // namespace holt::image
