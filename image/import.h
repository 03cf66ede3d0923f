#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "image/layer/limits.h"
#include "image/progress.h"
#include "image/store.h"

namespace holt::image {

enum class ImportFormat {
  kAuto,
  kOciDirectory,   // a directory with oci-layout, index.json and blobs/
  kOciArchive,     // a tar of one
  kDockerArchive,  // `docker save`, `podman save`
  kRootfsTar,      // a plain tar of a root file system
};

struct ImportOptions {
  ImportFormat format = ImportFormat::kAuto;
  // Name to record; empty: the one the archive carries (a rootfs tar has none).
  std::string name;
  // Which image of an archive with several: its tag or name there. Empty: the only one.
  std::string select;
  std::string platform;  // as PullOptions
  // Configuration of a rootfs tar, which has none of its own.
  std::vector<std::string> env;
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::string working_dir;
  std::string user;
  std::vector<std::string> labels;  // "name=value"
  layer::UnpackLimits limits;
  Progress* progress = nullptr;  // borrowed
};

// Brings the image(s) at `path` into the store ("-" reads a tar from standard input); an archive of
// several images is imported whole unless `select` or `name` asks for one. Returns what was
// recorded.
base::Result<std::vector<StoredImage>> ImportImage(Store& store, const std::string& path,
                                                   const ImportOptions& options);

}  // namespace holt::image
