#include "oci/image_spec.h"

#include <algorithm>

#include "oci/json_binding.h"

namespace holt::oci {

template <typename A>
void Describe(A& a, Platform& x) {
  a("architecture", x.architecture);
  a("os", x.os);
  a("os.version", x.os_version);
  a("variant", x.variant);
}

template <typename A>
void Describe(A& a, Descriptor& x) {
  a("mediaType", x.media_type);
  a("digest", x.digest);
  a("size", x.size);
  a("urls", x.urls);
  a("annotations", x.annotations);
  a("platform", x.platform);
  a("artifactType", x.artifact_type);
}

template <typename A>
void Describe(A& a, ImageManifest& x) {
  a("schemaVersion", x.schema_version);
  a("mediaType", x.media_type);
  a("config", x.config);
  a("layers", x.layers);
  a("annotations", x.annotations);
}

template <typename A>
void Describe(A& a, ImageIndex& x) {
  a("schemaVersion", x.schema_version);
  a("mediaType", x.media_type);
  a("manifests", x.manifests);
  a("annotations", x.annotations);
}

template <typename A>
void Describe(A&, EmptyObject&) {}

template <typename A>
void Describe(A& a, Healthcheck& x) {
  a("Test", x.test);
  a("Interval", x.interval);
  a("Timeout", x.timeout);
  a("StartPeriod", x.start_period);
  a("Retries", x.retries);
}

template <typename A>
void Describe(A& a, ImageRunConfig& x) {
  a("User", x.user);
  a("ExposedPorts", x.exposed_ports);
  a("Env", x.env);
  a("Entrypoint", x.entrypoint);
  a("Cmd", x.cmd);
  a("Volumes", x.volumes);
  a("WorkingDir", x.working_dir);
  a("Labels", x.labels);
  a("StopSignal", x.stop_signal);
  a("Shell", x.shell);
  a("Healthcheck", x.healthcheck);
}

template <typename A>
void Describe(A& a, ImageRootFs& x) {
  a("type", x.type);
  a("diff_ids", x.diff_ids);
}

template <typename A>
void Describe(A& a, ImageHistory& x) {
  a("created", x.created);
  a("created_by", x.created_by);
  a("author", x.author);
  a("comment", x.comment);
  a("empty_layer", x.empty_layer);
}

template <typename A>
void Describe(A& a, ImageConfig& x) {
  a("created", x.created);
  a("author", x.author);
  a("architecture", x.architecture);
  a("variant", x.variant);
  a("os", x.os);
  a("os.version", x.os_version);
  a("config", x.config);
  a("rootfs", x.rootfs);
  a("history", x.history);
}

namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

bool IsManifestType(std::string_view type) {
  return type == kOciManifest || type == kDockerManifest;
}
bool IsIndexType(std::string_view type) { return type == kOciIndex || type == kDockerIndex; }

Status CheckDescriptor(const Descriptor& descriptor, std::string_view what) {
  if (!IsDigest(descriptor.digest))
    return MakeError(Code::kInvalidArgument, "{}: \"{}\" is not a digest holt can check", what,
                     descriptor.digest.substr(0, 150));
  if (descriptor.size < 0)
    return MakeError(Code::kInvalidArgument, "{}: size {} is negative", what, descriptor.size);
  return {};
}

template <typename T>
Result<T> Bind(const Json& json) {
  T value;
  JsonReader reader;
  reader.ReadRoot(json, value);
  TRY(reader.status());
  return value;
}

Result<ManifestOrIndex> BindManifest(const Json& json) {
  TRY_ASSIGN(ImageManifest manifest, Bind<ImageManifest>(json));
  TRY(CheckDescriptor(manifest.config, "config"));
  if (manifest.layers.size() > kMaxImageLayers)
    return MakeError(Code::kInvalidArgument, "{} layers, more than the {} that overlayfs can stack",
                     manifest.layers.size(), kMaxImageLayers);
  for (size_t i = 0; i < manifest.layers.size(); ++i)
    TRY(CheckDescriptor(manifest.layers[i], fmt::format("layers[{}]", i)));
  return ManifestOrIndex(std::move(manifest));
}

Result<ManifestOrIndex> BindIndex(const Json& json) {
  TRY_ASSIGN(ImageIndex index, Bind<ImageIndex>(json));
  for (size_t i = 0; i < index.manifests.size(); ++i)
    TRY(CheckDescriptor(index.manifests[i], fmt::format("manifests[{}]", i)));
  return ManifestOrIndex(std::move(index));
}

Result<ManifestOrIndex> ParseManifestJson(const Json& json, std::string_view media_type) {
  if (!json.is_object()) return MakeError(Code::kInvalidArgument, "not a JSON object");
  bool has_layers = json.contains("layers") || json.contains("config");
  bool has_manifests = json.contains("manifests");
  if (json.contains("fsLayers") || json.value("schemaVersion", Json()) == 1)
    return MakeError(Code::kUnsupported,
                     "Docker schema 1, obsolete since 2017 and without layer digests to check; "
                     "push the image again with a current tool");
  if (has_layers && has_manifests)
    return MakeError(Code::kInvalidArgument, "claims to be a manifest and an index at once");

  std::string declared;
  if (auto it = json.find("mediaType"); it != json.end() && it->is_string())
    declared = it->get<std::string>();
  // "application/json" and the like say nothing; a type that says something must not be
  // contradicted.
  bool served_known = IsManifestType(media_type) || IsIndexType(media_type);
  if (!declared.empty() && served_known && declared != media_type)
    return MakeError(Code::kInvalidArgument, "says it is {}, but was served as {}", declared,
                     media_type);
  std::string_view type = served_known ? media_type : std::string_view(declared);
  if (!type.empty() && !IsManifestType(type) && !IsIndexType(type))
    return MakeError(Code::kUnsupported, "{} is not a container image", type.substr(0, 150));
  bool is_index = type.empty() ? has_manifests : IsIndexType(type);
  if (is_index ? !has_manifests : !has_layers)
    return MakeError(Code::kInvalidArgument, "has no {}",
                     is_index ? "manifests" : "config and layers");
  return is_index ? BindIndex(json) : BindManifest(json);
}

}  // namespace

bool IsDigest(std::string_view text) {
  size_t length;
  if (text.starts_with("sha256:")) {
    length = 64;
  } else if (text.starts_with("sha512:")) {
    length = 128;
  } else {
    return false;
  }
  text.remove_prefix(7);
  return text.size() == length && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

Result<ManifestOrIndex> ParseManifest(std::string_view text, std::string_view media_type) {
  TRY_ASSIGN(Json json, ParseJsonText(text, "manifest", kMaxManifestBytes, kMaxImageJsonDepth));
  auto parsed = ParseManifestJson(json, media_type);
  if (!parsed) return std::move(parsed).error().Wrap("manifest");
  return parsed;
}

Result<ImageConfig> ParseImageConfig(std::string_view text) {
  TRY_ASSIGN(Json json,
             ParseJsonText(text, "image configuration", kMaxImageConfigBytes, kMaxImageJsonDepth));
  if (!json.is_object())
    return MakeError(Code::kInvalidArgument, "image configuration: not a JSON object");
  auto config = Bind<ImageConfig>(json);
  if (!config) return std::move(config).error().Wrap("image configuration");
  if (config->rootfs.diff_ids.size() > kMaxImageLayers)
    return MakeError(Code::kInvalidArgument,
                     "image configuration: {} layers, more than the {} that overlayfs can stack",
                     config->rootfs.diff_ids.size(), kMaxImageLayers);
  for (const std::string& diff_id : config->rootfs.diff_ids)
    if (!IsDigest(diff_id))
      return MakeError(
          Code::kInvalidArgument,
          "image configuration: rootfs.diff_ids: \"{}\" is not a digest holt can check",
          diff_id.substr(0, 150));
  return config;
}

std::string WriteImageConfig(const ImageConfig& config) {
  return DumpJson(JsonWriter::Write(config), -1);
}

std::string WriteManifest(const ImageManifest& manifest) {
  return DumpJson(JsonWriter::Write(manifest), -1);
}

}  // namespace holt::oci
