#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/store.h"

// A container's root file system: the image's layers and a writable directory of the container's
// own, stacked by overlayfs, or copied where the store cannot be stacked upon.
namespace holt::image {

struct RootfsOptions {
  // The container's id: [a-zA-Z0-9][a-zA-Z0-9_.+-]*, at most 128 characters.
  std::string container_id;
  StoredImage image;
  // The container's own state directory (/run/holt/<id>). As long as it exists the container uses
  // the image; when it is gone, `gc` removes the root file system. It must exist already.
  std::string state_dir;
};

struct Rootfs {
  std::string container_id;
  StoredImage image;
  std::string state_dir;
  Driver driver = Driver::kOverlay;
  std::vector<std::string> lower;  // layer directories, top first (overlay)
  std::string upper;               // overlay: what the container writes; native: the root itself
  std::string work;                // overlay's own scratch
};

// Makes the writable layer and records that the container uses the image
// (containers/<id>/lease.json). Nothing is mounted. An existing root of that id is kAlreadyExists
// unless its container is gone.
base::Result<Rootfs> PrepareRootfs(Store& store, const RootfsOptions& options);
// What PrepareRootfs made earlier, maybe by another process.
base::Result<Rootfs> LoadRootfs(Store& store, const std::string& container_id);

// Mounts the root at `target`, an existing directory, in the caller's mount namespace, always nodev
// (an image's device nodes are for the guest), with as many layers as overlayfs takes (fsopen and
// lowerdir+; mount(2) on kernels before 6.8).
base::Status MountRootfs(const Rootfs& rootfs, const std::string& target, bool read_only = false);
base::Status UnmountRootfs(const std::string& target);

// Removes the writable layer and the lease. A root that is not there is no error.
base::Status RemoveRootfs(Store& store, const std::string& container_id);

struct Lease {
  std::string container_id;
  std::string image_name;
  std::string image_id;
  std::string state_dir;
  bool alive = false;  // the state directory exists
  std::string manifest_digest;
  std::string digest;
  std::vector<std::string> layers;
};

// All containers that have a root in the store, by id. What a crash left without a readable lease
// is listed too, not alive and without an image.
base::Result<std::vector<Lease>> ListLeases(Store& store);

}  // namespace holt::image
