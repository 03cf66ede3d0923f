#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

// Manifests, indexes and configurations of the OCI image specification 1.1, and of Docker's
// manifest version 2, schema 2, which is the same under other media types. All of it is the word of
// a registry or of a file somebody made: sizes, depths and every digest are checked before anything
// uses them.
namespace holt::oci {

// What a registry serves as a manifest is at most this large (the limit registries themselves
// keep).
inline constexpr size_t kMaxManifestBytes = 4 << 20;
inline constexpr size_t kMaxImageConfigBytes = 8 << 20;
inline constexpr int kMaxImageJsonDepth = 32;
// overlayfs stacks at most 500 lower directories (fs/overlayfs/params.h, OVL_MAX_STACK).
inline constexpr size_t kMaxImageLayers = 500;

inline constexpr char kOciManifest[] = "application/vnd.oci.image.manifest.v1+json";
inline constexpr char kOciIndex[] = "application/vnd.oci.image.index.v1+json";
inline constexpr char kOciConfig[] = "application/vnd.oci.image.config.v1+json";
inline constexpr char kOciLayer[] = "application/vnd.oci.image.layer.v1.tar";
inline constexpr char kDockerManifest[] = "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr char kDockerIndex[] = "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr char kDockerConfig[] = "application/vnd.docker.container.image.v1+json";
inline constexpr char kDockerLayer[] = "application/vnd.docker.image.rootfs.diff.tar";

struct Platform {
  std::string architecture;  // Go's names: "amd64", "arm64"
  std::string os;
  std::string os_version;
  std::string variant;  // "v8"
};

struct Descriptor {
  std::string media_type;
  std::string digest;  // "sha256:<64 hex>" or "sha512:<128 hex>", checked
  int64_t size = 0;    // bytes, not negative
  std::vector<std::string> urls;
  std::map<std::string, std::string> annotations;
  std::optional<Platform> platform;
  std::string artifact_type;
};

struct ImageManifest {
  int64_t schema_version = 0;
  std::string media_type;
  Descriptor config;
  std::vector<Descriptor> layers;  // bottom first
  std::map<std::string, std::string> annotations;
};

struct ImageIndex {
  int64_t schema_version = 0;
  std::string media_type;
  std::vector<Descriptor> manifests;
  std::map<std::string, std::string> annotations;
};

struct EmptyObject {};

struct Healthcheck {
  std::vector<std::string> test;
  int64_t interval = 0;  // nanoseconds, as the rest
  int64_t timeout = 0;
  int64_t start_period = 0;
  int64_t retries = 0;
};

// How to run a container of the image: what `holt run` starts from.
struct ImageRunConfig {
  std::string user;  // "uid", "user", "uid:gid", …
  std::map<std::string, EmptyObject> exposed_ports;
  std::vector<std::string> env;  // "NAME=value"
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::map<std::string, EmptyObject> volumes;
  std::string working_dir;
  std::map<std::string, std::string> labels;
  std::string stop_signal;  // "SIGTERM", "15"
  std::vector<std::string> shell;
  std::optional<Healthcheck> healthcheck;
};

struct ImageRootFs {
  std::string type;                   // "layers"
  std::vector<std::string> diff_ids;  // digests of the uncompressed layers, bottom first
};

struct ImageHistory {
  std::string created;
  std::string created_by;
  std::string author;
  std::string comment;
  bool empty_layer = false;
};

struct ImageConfig {
  std::string created;  // RFC 3339, as the builder wrote it
  std::string author;
  std::string architecture;
  std::string variant;
  std::string os;
  std::string os_version;
  ImageRunConfig config;
  ImageRootFs rootfs;
  std::vector<ImageHistory> history;
};

using ManifestOrIndex = std::variant<ImageManifest, ImageIndex>;

// "sha256:" and 64 lower-case hex digits, or "sha512:" and 128.
bool IsDigest(std::string_view text);

// Parses a manifest or an index. `media_type` is what the registry or the descriptor calls it;
// empty when nobody said. The text decides only where that leaves it open, and a text that claims
// to be both (`layers` beside `manifests`), or another type than it was served as, is refused: two
// readers would see two images.
base::Result<ManifestOrIndex> ParseManifest(std::string_view text, std::string_view media_type);

base::Result<ImageConfig> ParseImageConfig(std::string_view text);

std::string WriteImageConfig(const ImageConfig& config);
std::string WriteManifest(const ImageManifest& manifest);

}  // namespace holt::oci
