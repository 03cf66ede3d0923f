#include "image/commands/commands.h"
#include "image/reference.h"
#include "oci/json_binding.h"

namespace holt::image::commands {

using base::Status;

namespace {

// Docker's names, and its nulls where a list is empty.
oci::Json Inspect(Store& store, const StoredImage& image, const oci::Json& raw,
                  const std::vector<StoredImage>& all) {
  oci::Json tags = oci::Json::array();
  oci::Json digests = oci::Json::array();
  for (const StoredImage& other : all) {
    if (other.id != image.id || other.name.empty()) continue;
    auto reference = Reference::Parse(other.name);
    if (!reference) continue;
    if (!reference->tag.empty()) tags.push_back(reference->FamiliarName() + ":" + reference->tag);
    std::string digest = reference->FamiliarName() + "@" + other.digest;
    if (std::find(digests.begin(), digests.end(), digest) == digests.end())
      digests.push_back(digest);
  }
  oci::Json diff_ids = oci::Json::array();
  if (raw.contains("rootfs") && raw["rootfs"].is_object())
    diff_ids = raw["rootfs"].value("diff_ids", diff_ids);
  oci::Json layers = oci::Json::array();
  for (const std::string& layer : image.layers) {
    auto chain_id = Digest::Parse(layer);
    if (chain_id) layers.push_back(store.LayerRoot(*chain_id));
  }
  auto member = [&](const char* name) { return raw.contains(name) ? raw[name] : oci::Json(); };
  auto text = [&](const char* name) {
    return raw.contains(name) && raw[name].is_string() ? raw[name] : oci::Json("");
  };
  return {{"Id", image.id},
          {"RepoTags", tags},
          {"RepoDigests", digests},
          {"Digest", image.digest},
          {"ManifestDigest", image.manifest_digest},
          {"Created", text("created")},
          {"Author", text("author")},
          {"Config", member("config")},
          {"Architecture", text("architecture")},
          {"Variant", text("variant")},
          {"Os", text("os")},
          {"Size", image.size},
          {"GraphDriver", {{"Name", DriverName(store.driver())}, {"Data", {{"Layers", layers}}}}},
          {"RootFS", {{"Type", "layers"}, {"Layers", diff_ids}}},
          {"History", member("history")}};
}

}  // namespace

Status RunInspect(const InspectCommand& command, const Io& io) {
  TRY_ASSIGN(auto store, Store::Open(command.common.store));
  TRY_ASSIGN(auto all, store->ListImages());
  oci::Json list = oci::Json::array();
  for (const std::string& name : command.images) {
    TRY_ASSIGN(StoredImage image, store->FindImage(name));
    TRY_ASSIGN(Digest id, Digest::Parse(image.id));
    TRY_ASSIGN_CONTEXT(std::string text, store->ReadBlob(id, oci::kMaxImageConfigBytes),
                       "image " + name);
    TRY_ASSIGN(oci::Json raw,
               oci::ParseJsonText(text, "image configuration", oci::kMaxImageConfigBytes,
                                  oci::kMaxImageJsonDepth));
    list.push_back(Inspect(*store, image, raw, all));
  }
  fmt::print(io.out, "{}\n", oci::DumpJson(list, 4));
  return {};
}

}  // namespace holt::image::commands
