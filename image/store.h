#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "image/digest.h"
#include "image/file_lock.h"
#include "image/reference.h"
#include "oci/image_spec.h"

// The content store under /var/lib/holt (`--store`). docs/image-store.md defines what is on disk;
// the rules in short: everything is written aside and renamed into place, so a name under blobs/,
// layers/ or images/ is whole; whatever is under tmp/ and ingest/ is trusted by nobody; locks are
// flocks, which die with their holder.
namespace holt::image {

inline constexpr char kDefaultStorePath[] = "/var/lib/holt";

// How layers are kept and containers' roots are made. Chosen once, when the store is made.
enum class Driver {
  kOverlay,  // layers in overlayfs' form, roots are overlay mounts
  kNative,   // whiteouts as the `.wh.` files of the tar format, roots are copies
};

std::string_view DriverName(Driver driver);

// An image in the store: images/<file>.json.
struct StoredImage {
  std::string name;    // canonical reference; empty for an import without a name
  std::string id;      // digest of the configuration, "sha256:…"
  std::string digest;  // of what the name stands for at the registry: an index or a manifest
  std::string manifest_digest;      // of the manifest for this platform
  std::string platform;             // "linux/amd64"
  std::string created;              // RFC 3339, from the configuration; may be empty
  int64_t stored_at = 0;            // Unix seconds
  uint64_t size = 0;                // bytes of its files, unpacked
  std::vector<std::string> layers;  // chain ids, bottom first
};

// An unpacked layer: layers/<chain id>/.
struct LayerInfo {
  std::string chain_id;
  std::string diff_id;
  std::string parent;       // chain id of the layer below; empty for the lowest
  std::string blob_digest;  // what it was unpacked from
  uint64_t size = 0;        // bytes of file content
  uint64_t entries = 0;
  std::string boot_id;  // of the boot that wrote it; a layer not yet flushed is trusted in it only
};

class Store {
 public:
  // Opens the store, makes it if it is not there, and checks that this holt understands its format.
  static base::Result<std::unique_ptr<Store>> Open(const std::string& path = kDefaultStorePath);

  const std::string& path() const { return path_; }
  Driver driver() const { return driver_; }

  // Everybody who adds to the store or counts on what is in it holds this shared; who deletes holds
  // it exclusive. The error of an exclusive lock that cannot be had says who is in the way.
  base::Result<FileLock> LockShared();
  base::Result<FileLock> LockExclusive(std::chrono::milliseconds deadline);
  // Removes what crashed processes left under tmp/, if nobody else is at work. Cheap when there is
  // none.
  void RemoveStaleTemporaries();

  // Blobs: manifests, indexes and configurations, small ones. Layers are kept unpacked only.
  base::Status WriteBlob(const Digest& digest, std::string_view content);
  // Checks the digest again: a blob that rotted on disk is an error, not an image.
  base::Result<std::string> ReadBlob(const Digest& digest, size_t max_bytes);
  bool HasBlob(const Digest& digest) const;
  std::string BlobPath(const Digest& digest) const;

  // Layers.
  bool HasLayer(const Digest& chain_id) const;
  base::Result<LayerInfo> ReadLayer(const Digest& chain_id) const;
  // The directory to put into an overlay (or to copy).
  std::string LayerRoot(const Digest& chain_id) const;
  // Takes `directory` (made by NewTemporary, with the layer's files under fs/) as the layer;
  // another process may have been faster, then ours is dropped and that is no error.
  base::Status CommitLayer(const std::string& directory, const LayerInfo& info);
  // Makes the layers survive a power cut: one syncfs for all of them, and a note beside each.
  base::Status FlushLayers(const std::vector<Digest>& chain_ids);
  // One process (or thread) at a time unpacks a layer.
  std::string LayerLockPath(const Digest& chain_id) const;
  // Where the bytes of a blob gather; flocked by whoever downloads.
  std::string PartialPath(const Digest& digest) const;

  // A new directory under tmp/.
  base::Result<std::string> NewTemporary(std::string_view prefix);

  // Images.
  base::Result<std::vector<StoredImage>> ListImages() const;
  // By name ("debian", "docker.io/library/debian:12", "name@sha256:…") or by id ("sha256:…", 4 and
  // more hex digits). kNotFound names what was looked for.
  base::Result<StoredImage> FindImage(std::string_view text) const;
  // Adds or replaces the image of that name. All its blobs and layers must be there already.
  base::Status PutImage(const StoredImage& image);
  base::Status RemoveImage(const StoredImage& image);
  base::Result<oci::ImageConfig> ReadConfig(const StoredImage& image);

  std::string ContainersPath() const { return path_ + "/containers"; }
  std::string ContainerPath(const std::string& id) const { return ContainersPath() + "/" + id; }

 private:
  Store(std::string path, Driver driver) : path_(std::move(path)), driver_(driver) {}
  std::string ImageFile(const StoredImage& image) const;

  std::string path_;
  Driver driver_;
};

// The image as `sha256:` short id or name, for messages.
std::string DisplayName(const StoredImage& image);

}  // namespace holt::image
