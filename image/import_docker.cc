#include "image/import_source.h"
#include "oci/json_binding.h"

namespace holt::image {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

// An element of manifest.json as `docker save` and `podman save` write it.
struct SavedImage {
  std::string config;
  std::vector<std::string> repo_tags;
  std::vector<std::string> layers;
};

template <typename A>
void Describe(A& a, SavedImage& x) {
  a("Config", x.config);
  a("RepoTags", x.repo_tags);
  a("Layers", x.layers);
}

struct SavedImages {
  std::vector<SavedImage> images;
};

template <typename A>
void Describe(A& a, SavedImages& x) {
  a("images", x.images);
}

Result<std::vector<SavedImage>> ReadIndex(const ArchiveTree& tree) {
  TRY_ASSIGN(std::string text, tree.Read("manifest.json", oci::kMaxManifestBytes));
  TRY_ASSIGN(oci::Json json, oci::ParseJsonText(text, "manifest.json", oci::kMaxManifestBytes,
                                                oci::kMaxImageJsonDepth));
  SavedImages saved;
  oci::JsonReader reader;
  reader.ReadRoot(oci::Json{{"images", json}}, saved);
  TRY_CONTEXT(reader.status(), "manifest.json");
  return std::move(saved.images);
}

bool IsSelected(const SavedImage& image, const std::string& select) {
  if (select.empty()) return true;
  std::string wanted = ArchiveName(select);
  for (const std::string& tag : image.repo_tags)
    if (tag == select || (!wanted.empty() && ArchiveName(tag) == wanted)) return true;
  return false;
}

// The archive has no manifest of its own kind, and says nothing of its layers but their diff ids:
// one is written for it, whose layers are the uncompressed tars.
Result<ImagePlan> PlanOne(const ArchiveTree& tree, const SavedImage& saved,
                          const ImportOptions& options) {
  ImagePlan plan;
  TRY_ASSIGN(plan.config, tree.Read(saved.config, oci::kMaxImageConfigBytes));
  TRY_ASSIGN(oci::ImageConfig config, oci::ParseImageConfig(plan.config));
  if (saved.layers.size() != config.rootfs.diff_ids.size())
    return MakeError(Code::kInvalidArgument, "manifest.json has {} layers, {} has {}",
                     saved.layers.size(), saved.config.substr(0, 100),
                     config.rootfs.diff_ids.size());
  oci::ImageManifest manifest;
  manifest.schema_version = 2;
  manifest.media_type = oci::kOciManifest;
  manifest.config.media_type = oci::kOciConfig;
  manifest.config.digest = Sha256(plan.config).text();
  manifest.config.size = static_cast<int64_t>(plan.config.size());
  for (const std::string& diff_id : config.rootfs.diff_ids)
    manifest.layers.push_back({.media_type = oci::kOciLayer, .digest = diff_id});
  plan.manifest = oci::WriteManifest(manifest);
  TRY(PlanLayers(manifest, config, plan));
  for (size_t i = 0; i < plan.layers.size(); ++i) {
    plan.layers[i].blob = Digest();  // may lie there compressed
    OpenFromTree(tree, saved.layers[i], options.progress, plan.layers[i]);
  }
  return plan;
}

}  // namespace

Result<std::vector<ImagePlan>> PlanDockerArchive(const ArchiveTree& tree,
                                                 const ImportOptions& options) {
  TRY_ASSIGN(auto saved, ReadIndex(tree));
  std::vector<ImagePlan> plans;
  std::string there;
  size_t images = 0;
  for (const SavedImage& image : saved) {
    for (const std::string& tag : image.repo_tags)
      if (there.size() < 1000) there += (there.empty() ? "" : ", ") + tag.substr(0, 300);
    if (!IsSelected(image, options.select)) continue;
    ++images;
    TRY_ASSIGN(ImagePlan plan, PlanOne(tree, image, options));
    // Every name of the image, unless one was asked for.
    bool named = false;
    for (const std::string& tag : image.repo_tags) {
      plan.name = ArchiveName(tag);
      if (plan.name.empty()) continue;
      if (!options.select.empty() && plan.name != ArchiveName(options.select)) continue;
      plans.push_back(plan);
      named = true;
      if (!options.name.empty()) break;
    }
    if (named) continue;
    plan.name.clear();
    plans.push_back(std::move(plan));
  }
  if (plans.empty())
    return MakeError(Code::kNotFound, "it has no image \"{}\"; it has: {}", options.select,
                     there.empty() ? "none with a name" : there);
  if (images > 1 && !options.name.empty())
    return MakeError(
        Code::kInvalidArgument,
        "it has {} images, and one name for all of them is not enough; choose with --select: {}",
        images, there);
  return plans;
}

}  // namespace holt::image
