#include <variant>

#include "image/import_source.h"
#include "image/platform.h"

namespace holt::image {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

constexpr char kRefName[] = "org.opencontainers.image.ref.name";
// What containerd, nerdctl and Docker write: the whole name.
constexpr char kImageName[] = "io.containerd.image.name";
constexpr int kDeepestIndex = 4;

std::string BlobName(const Digest& digest) {
  return "blobs/" + digest.algorithm() + "/" + digest.hex();
}

Result<std::string> ReadChecked(const ArchiveTree& tree, const oci::Descriptor& descriptor,
                                size_t most) {
  TRY_ASSIGN(Digest digest, Digest::Parse(descriptor.digest));
  TRY_ASSIGN(std::string text, tree.Read(BlobName(digest), most));
  Hasher hasher(digest.algorithm());
  hasher.Update(text);
  if (Digest real = hasher.Finish(); real != digest)
    return MakeError(Code::kDataLoss, "wrong digest: {} has the content {}", BlobName(digest),
                     real.text());
  return text;
}

std::string Annotation(const oci::Descriptor& descriptor, const char* name) {
  auto it = descriptor.annotations.find(name);
  return it == descriptor.annotations.end() ? "" : it->second;
}

// "latest" alone is a tag of something unnamed; "name:tag" and "host/name" are names.
std::string NameOf(const oci::Descriptor& descriptor) {
  if (std::string name = ArchiveName(Annotation(descriptor, kImageName)); !name.empty())
    return name;
  std::string ref = Annotation(descriptor, kRefName);
  if (ref.find_first_of(":/") == std::string::npos) return "";
  return ArchiveName(ref);
}

bool IsSelected(const oci::Descriptor& descriptor, const std::string& select) {
  if (select.empty()) return true;
  if (Annotation(descriptor, kRefName) == select || Annotation(descriptor, kImageName) == select)
    return true;
  std::string wanted = ArchiveName(select);
  return !wanted.empty() && NameOf(descriptor) == wanted;
}

// Follows indexes down to the manifest for the platform.
Result<ImagePlan> PlanOne(const ArchiveTree& tree, oci::Descriptor descriptor,
                          const oci::Platform& platform, const ImportOptions& options) {
  ImagePlan plan;
  plan.name = NameOf(descriptor);
  for (int depth = 0; depth < kDeepestIndex; ++depth) {
    TRY_ASSIGN(std::string text, ReadChecked(tree, descriptor, oci::kMaxManifestBytes));
    TRY_ASSIGN(auto parsed, oci::ParseManifest(text, descriptor.media_type));
    if (auto* index = std::get_if<oci::ImageIndex>(&parsed)) {
      if (plan.index.empty()) plan.index = std::move(text);
      TRY_ASSIGN(descriptor, SelectManifest(*index, platform));
      continue;
    }
    const auto& manifest = std::get<oci::ImageManifest>(parsed);
    plan.manifest = std::move(text);
    TRY_ASSIGN(plan.config, ReadChecked(tree, manifest.config, oci::kMaxImageConfigBytes));
    TRY_ASSIGN(oci::ImageConfig config, oci::ParseImageConfig(plan.config));
    TRY(PlanLayers(manifest, config, plan));
    for (LayerPlan& layer : plan.layers)
      OpenFromTree(tree, BlobName(layer.blob), options.progress, layer);
    return plan;
  }
  return MakeError(Code::kInvalidArgument, "indexes within indexes, more than {} deep",
                   kDeepestIndex);
}

std::string Listing(const std::vector<oci::Descriptor>& descriptors) {
  std::string text;
  for (const oci::Descriptor& descriptor : descriptors) {
    std::string name = Annotation(descriptor, kRefName);
    if (name.empty()) name = Annotation(descriptor, kImageName);
    text += (text.empty() ? "" : ", ") +
            (name.empty() ? descriptor.digest.substr(0, 19) : name.substr(0, 150));
    if (text.size() > 1000) return text + ", …";
  }
  return text.empty() ? "nothing" : text;
}

}  // namespace

Result<std::vector<ImagePlan>> PlanOciLayout(const ArchiveTree& tree,
                                             const ImportOptions& options) {
  TRY_ASSIGN(std::string text, tree.Read("index.json", oci::kMaxManifestBytes));
  TRY_ASSIGN(auto parsed, oci::ParseManifest(text, oci::kOciIndex));
  auto* index = std::get_if<oci::ImageIndex>(&parsed);
  if (!index) return MakeError(Code::kInvalidArgument, "index.json is not an index");
  TRY_ASSIGN(oci::Platform platform, ParsePlatform(options.platform));
  std::vector<oci::Descriptor> chosen;
  for (const oci::Descriptor& descriptor : index->manifests) {
    if (!IsSelected(descriptor, options.select)) continue;
    if (descriptor.platform && !PlatformFits(platform, *descriptor.platform)) continue;
    chosen.push_back(descriptor);
  }
  if (chosen.empty())
    return MakeError(Code::kNotFound, "it has no image {}{}for {}; it has: {}",
                     options.select.empty() ? "" : "\"" + options.select + "\"",
                     options.select.empty() ? "" : " ", PlatformText(platform),
                     Listing(index->manifests));
  if (chosen.size() > 1 && !options.name.empty())
    return MakeError(
        Code::kInvalidArgument,
        "it has {} images, and one name for all of them is not enough; choose with --select: {}",
        chosen.size(), Listing(chosen));
  std::vector<ImagePlan> plans;
  for (const oci::Descriptor& descriptor : chosen) {
    TRY_ASSIGN(ImagePlan plan, PlanOne(tree, descriptor, platform, options));
    plans.push_back(std::move(plan));
  }
  return plans;
}

}  // namespace holt::image
