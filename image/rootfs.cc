#include "image/rootfs.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "image/layer/copy.h"
#include "image/layer/copy_tree.h"
#include "image/overlay.h"
#include "image/store_json.h"

namespace holt::image {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

namespace {

constexpr size_t kMaxContainerId = 128;

// containers/<id>/lease.json.
struct LeaseRecord {
  std::string container_id;
  std::string state_dir;
  std::string driver;
  StoredImage image;
};

template <typename A>
void Describe(A& a, LeaseRecord& x) {
  a("containerId", x.container_id);
  a("stateDir", x.state_dir);
  a("driver", x.driver);
  a("image", x.image);
}

Status CheckContainerId(const std::string& id) {
  auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  bool ok = !id.empty() && id.size() <= kMaxContainerId && letter(id[0]) &&
            std::all_of(id.begin(), id.end(), [&](char c) {
              return letter(c) || c == '_' || c == '.' || c == '+' || c == '-';
            });
  if (!ok)
    return MakeError(Code::kInvalidArgument, "\"{}\" is not a container id",
                     base::log::Sanitize(id.substr(0, kMaxContainerId)));
  return {};
}

Result<LeaseRecord> ReadLease(const std::string& container) {
  std::string path = container + "/lease.json";
  TRY_ASSIGN(std::string text, base::ReadFile(path, kMaxRecordBytes));
  TRY_ASSIGN(LeaseRecord record, ParseRecord<LeaseRecord>(text, path));
  for (const std::string& layer : record.image.layers) TRY_CONTEXT(Digest::Parse(layer), path);
  return record;
}

// The state directory is the proof of life: the monitor makes it before and removes it after.
bool IsAlive(const LeaseRecord& record) { return base::PathExists(record.state_dir); }

Result<Rootfs> MakeRootfs(Store& store, const LeaseRecord& record) {
  Rootfs rootfs;
  rootfs.container_id = record.container_id;
  rootfs.image = record.image;
  rootfs.state_dir = record.state_dir;
  rootfs.driver =
      record.driver == DriverName(Driver::kOverlay) ? Driver::kOverlay : Driver::kNative;
  std::string container = store.ContainerPath(record.container_id);
  if (rootfs.driver == Driver::kNative) {
    rootfs.upper = container + "/root";
    return rootfs;
  }
  rootfs.upper = container + "/upper";
  rootfs.work = container + "/work";
  for (auto it = record.image.layers.rbegin(); it != record.image.layers.rend(); ++it) {
    TRY_ASSIGN(Digest chain_id, Digest::Parse(*it));
    rootfs.lower.push_back(store.LayerRoot(chain_id));
  }
  // An image without layers: overlayfs wants something to stack upon.
  if (rootfs.lower.empty()) rootfs.lower.push_back(container + "/empty");
  return rootfs;
}

Status CheckLayers(Store& store, const StoredImage& image) {
  for (const std::string& layer : image.layers) {
    TRY_ASSIGN(Digest chain_id, Digest::Parse(layer));
    if (!store.HasLayer(chain_id))
      return MakeError(
          Code::kDataLoss,
          "image {}: the layer {} is missing from the store {} (a pull that was not on disk "
          "when the power went, or a file removed by hand); fetch it again with: holt pull {}",
          DisplayName(image), chain_id.Short(), store.path(), DisplayName(image));
  }
  return {};
}

// The root of an overlay shows the owner, mode and attributes of its upper directory.
Status TakeAfter(const std::string& layer, const std::string& upper) {
  TRY_ASSIGN(UniqueFd from, base::Open(layer, O_RDONLY | O_DIRECTORY));
  TRY_ASSIGN(UniqueFd to, base::Open(upper, O_RDONLY | O_DIRECTORY));
  struct stat st {};
  if (fstat(from.get(), &st) != 0) return HOLT_ERRNO("stat {}", layer);
  return layer::CopyMetadata(from.get(), to.get(), st);
}

Status FillDirectory(Store& store, const LeaseRecord& record, const std::string& directory) {
  std::vector<std::string> layers;
  for (const std::string& layer : record.image.layers) {
    TRY_ASSIGN(Digest chain_id, Digest::Parse(layer));
    layers.push_back(store.LayerRoot(chain_id));
  }
  if (store.driver() == Driver::kNative) {
    TRY(base::MakeDirs(directory + "/root", 0755));
    TRY(layer::CopyLayers(layers, directory + "/root"));
  } else {
    TRY(base::MakeDirs(directory + "/upper", 0755));
    TRY(base::MakeDirs(directory + "/work", 0700));
    if (layers.empty()) TRY(base::MakeDirs(directory + "/empty", 0755));
    if (!layers.empty()) TRY(TakeAfter(layers.back(), directory + "/upper"));
  }
  return base::WriteFile(directory + "/lease.json", WriteRecord(record), 0600);
}

// Moved under tmp/ first, so that a crash half-way leaves debris and no half root.
Status Discard(Store& store, const std::string& container) {
  TRY_ASSIGN(std::string grave, store.NewTemporary("gone"));
  std::string moved = grave + "/root";
  if (rename(container.c_str(), moved.c_str()) != 0 && errno != ENOENT)
    return HOLT_ERRNO("remove {}", container);
  return base::RemoveTree(grave);
}

// Puts the finished directory in place; a dead container's root gives way.
Status Place(Store& store, const std::string& directory, const std::string& id) {
  std::string target = store.ContainerPath(id);
  constexpr int kAttempts = 8;
  for (int i = 0; i < kAttempts; ++i) {
    if (renameat2(AT_FDCWD, directory.c_str(), AT_FDCWD, target.c_str(), RENAME_NOREPLACE) == 0)
      return {};
    if (errno != EEXIST) return HOLT_ERRNO("rename {} to {}", directory, target);
    auto old = ReadLease(target);
    if (old && IsAlive(*old)) break;
    TRY(Discard(store, target));
  }
  return MakeError(Code::kAlreadyExists, "container {} has a root file system already", id);
}

}  // namespace

Result<Rootfs> PrepareRootfs(Store& store, const RootfsOptions& options) {
  TRY(CheckContainerId(options.container_id));
  if (!base::PathExists(options.state_dir))
    return HOLT_ERRNO("state directory {} of container {}", options.state_dir,
                      options.container_id);
  TRY_ASSIGN(FileLock lock, store.LockShared());
  TRY(CheckLayers(store, options.image));
  LeaseRecord record{options.container_id, options.state_dir,
                     std::string(DriverName(store.driver())), options.image};
  TRY_ASSIGN(std::string directory, store.NewTemporary("root"));
  Status made = FillDirectory(store, record, directory);
  if (made) made = Place(store, directory, options.container_id);
  if (!made) {
    (void)base::RemoveTree(directory);
    return ExplainSpace(std::move(made).error(), store.path())
        .Wrap("root file system of container " + options.container_id);
  }
  return MakeRootfs(store, record);
}

Result<Rootfs> LoadRootfs(Store& store, const std::string& container_id) {
  TRY(CheckContainerId(container_id));
  auto record = ReadLease(store.ContainerPath(container_id));
  if (!record && record.error().err() == ENOENT)
    return MakeError(Code::kNotFound, "container {} has no root file system in the store {}",
                     container_id, store.path());
  if (!record) return std::move(record).error();
  return MakeRootfs(store, *record);
}

Status MountRootfs(const Rootfs& rootfs, const std::string& target, bool read_only) {
  if (rootfs.driver == Driver::kNative) {
    TRY_ASSIGN(UniqueFd tree, MakeDetachedBind(rootfs.upper, read_only));
    return AttachMount(tree.get(), target);
  }
  return MountOverlay({rootfs.lower, rootfs.upper, rootfs.work, read_only}, target);
}

Status UnmountRootfs(const std::string& target) {
  if (umount2(target.c_str(), UMOUNT_NOFOLLOW) == 0) return {};
  if (errno == EBUSY && umount2(target.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH) == 0) return {};
  return HOLT_ERRNO("unmount {}", target);
}

Status RemoveRootfs(Store& store, const std::string& container_id) {
  TRY(CheckContainerId(container_id));
  std::string container = store.ContainerPath(container_id);
  if (!base::PathExists(container)) return {};
  TRY_ASSIGN(FileLock lock, store.LockShared());
  TRY_CONTEXT(Discard(store, container), "root file system of container " + container_id);
  return {};
}

Result<std::vector<Lease>> ListLeases(Store& store) {
  TRY_ASSIGN(auto names, ListNames(store.ContainersPath()));
  std::vector<Lease> leases;
  for (const std::string& name : names) {
    Lease lease;
    lease.container_id = name;
    auto record = ReadLease(store.ContainerPath(name));
    if (record) {
      lease.image_name = record->image.name;
      lease.image_id = record->image.id;
      lease.state_dir = record->state_dir;
      lease.alive = IsAlive(*record);
      lease.manifest_digest = record->image.manifest_digest;
      lease.digest = record->image.digest;
      lease.layers = record->image.layers;
    } else if (record.error().err() != 0 && record.error().err() != ENOENT) {
      // Not readable just now is no proof that nobody uses it.
      return std::move(record).error();
    }
    leases.push_back(std::move(lease));
  }
  return leases;
}

}  // namespace holt::image
