#include "image/gc.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <set>

#include "base/file.h"
#include "base/log.h"
#include "image/rootfs.h"
#include "image/store_json.h"

namespace holt::image {

using base::Code;
using base::Result;
using base::Status;

namespace {

// A cut download is worth resuming for a day.
constexpr time_t kKeepDownloads = 24 * 3600;

class Collector {
 public:
  Collector(Store& store, const GcOptions& options) : store_(store), options_(options) {}

  // The store is locked: what is not marked here can have no user tomorrow.
  Status Run() {
    TRY(Mark());
    // What refers goes before what it refers to, so that a crash between leaves nothing dangling.
    TRY(SweepRoots());
    TRY(SweepLayers());
    TRY(SweepBlobs());
    TRY(SweepDownloads());
    return SweepTemporaries();
  }

  std::vector<Garbage> Take() { return std::move(garbage_); }

 private:
  Status Mark() {
    TRY_ASSIGN(auto images, store_.ListImages());
    for (const StoredImage& image : images) {
      blobs_.insert({image.id, image.digest, image.manifest_digest});
      layers_.insert(image.layers.begin(), image.layers.end());
    }
    TRY_ASSIGN(leases_, ListLeases(store_));
    for (const Lease& lease : leases_) {
      if (!lease.alive) continue;
      blobs_.insert({lease.image_id, lease.digest, lease.manifest_digest});
      layers_.insert(lease.layers.begin(), lease.layers.end());
    }
    return {};
  }

  Status SweepRoots() {
    for (const Lease& lease : leases_)
      if (!lease.alive)
        TRY(Remove(Garbage::Kind::kRoot, lease.container_id,
                   store_.ContainerPath(lease.container_id), 0));
    return {};
  }

  Status SweepLayers() {
    TRY_ASSIGN(auto names, ListNames(store_.path() + "/layers"));
    for (const std::string& name : names) {
      std::string text = name;
      if (size_t dash = text.find('-'); dash != std::string::npos) text[dash] = ':';
      auto chain_id = Digest::Parse(text);
      if (chain_id && layers_.count(text)) continue;
      uint64_t bytes = 0;
      if (chain_id)
        if (auto info = store_.ReadLayer(*chain_id)) bytes = info->size;
      TRY(Remove(Garbage::Kind::kLayer, chain_id ? chain_id->Short() : name,
                 store_.path() + "/layers/" + name, bytes));
    }
    return {};
  }

  Status SweepBlobs() {
    for (const char* algorithm : {"sha256", "sha512"}) {
      std::string directory = store_.path() + "/blobs/" + algorithm;
      TRY_ASSIGN(auto names, ListNames(directory));
      for (const std::string& name : names) {
        if (blobs_.count(fmt::format("{}:{}", algorithm, name))) continue;
        TRY(Remove(Garbage::Kind::kBlob, name.substr(0, 12), directory + "/" + name,
                   SizeOf(directory + "/" + name)));
      }
    }
    return {};
  }

  Status SweepDownloads() {
    std::string directory = store_.path() + "/ingest";
    TRY_ASSIGN(auto names, ListNames(directory));
    for (const std::string& name : names) {
      std::string path = directory + "/" + name;
      struct stat st {};
      if (lstat(path.c_str(), &st) != 0) continue;
      if (!options_.all && st.st_mtime + kKeepDownloads > time(nullptr)) continue;
      TRY(Remove(Garbage::Kind::kDownload, name.substr(0, 19), path,
                 static_cast<uint64_t>(st.st_size)));
    }
    return {};
  }

  // Whoever uses tmp/ or a lock of a layer holds the store's lock too, and we have it alone.
  Status SweepTemporaries() {
    TRY_ASSIGN(auto temporaries, ListNames(store_.path() + "/tmp"));
    for (const std::string& name : temporaries)
      TRY(Remove(Garbage::Kind::kTemporary, name, store_.path() + "/tmp/" + name, 0));
    TRY_ASSIGN(auto locks, ListNames(store_.path() + "/locks"));
    for (const std::string& name : locks)
      if (!options_.dry_run) unlink((store_.path() + "/locks/" + name).c_str());
    return {};
  }

  static uint64_t SizeOf(const std::string& path) {
    struct stat st {};
    return lstat(path.c_str(), &st) == 0 ? static_cast<uint64_t>(st.st_size) : 0;
  }

  // Through tmp/, so that nothing half-removed keeps its name.
  Status Remove(Garbage::Kind kind, const std::string& name, const std::string& path,
                uint64_t bytes) {
    garbage_.push_back({kind, name, bytes});
    if (options_.dry_run) return {};
    if (kind == Garbage::Kind::kTemporary) return base::RemoveTree(path);
    TRY_ASSIGN(std::string grave, store_.NewTemporary("gone"));
    std::string moved = grave + "/it";
    if (rename(path.c_str(), moved.c_str()) != 0 && errno != ENOENT)
      return HOLT_ERRNO("remove {}", path);
    return base::RemoveTree(grave);
  }

  Store& store_;
  const GcOptions& options_;
  std::vector<Lease> leases_;
  std::set<std::string> blobs_;
  std::set<std::string> layers_;
  std::vector<Garbage> garbage_;
};

}  // namespace

Result<std::vector<Garbage>> CollectGarbage(Store& store, const GcOptions& options) {
  TRY_ASSIGN(FileLock lock, store.LockExclusive(options.patience));
  Collector collector(store, options);
  TRY(collector.Run());
  return collector.Take();
}

}  // namespace holt::image
