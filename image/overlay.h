#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "image/store.h"

namespace holt::image {

struct OverlayPlan {
  std::vector<std::string> lower;  // top first, at least one
  std::string upper;               // empty: a read-only overlay of the lower directories alone
  std::string work;
  bool read_only = false;
};

// Mounts the overlay at `target`, nodev. Tries the mount API of Linux 6.8 (a parameter per layer,
// up to 500), then mount(2).
base::Status MountOverlay(const OverlayPlan& plan, const std::string& target);

// The two ways on their own. A detached mount lives as long as its descriptor.
base::Result<base::UniqueFd> MakeDetachedOverlay(const OverlayPlan& plan);
base::Status MountOverlayLegacy(const OverlayPlan& plan, const std::string& target);
base::Status AttachMount(int mount_fd, const std::string& target);

// A detached bind of `directory`, nodev.
base::Result<base::UniqueFd> MakeDetachedBind(const std::string& directory, bool read_only);

// Can the file system of `directory` (which exists) carry whiteouts, opaque marks and the upper
// layer of an overlay? Found out by doing it. The reason, if not, goes to `why`.
Driver ProbeDriver(const std::string& directory, std::string* why);

}  // namespace holt::image
