#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "image/layer/byte_source.h"
#include "image/layer/limits.h"
#include "image/store.h"

namespace holt::image {

// The files of an image archive by their names there, read from a directory or taken out of a tar.
// Names are keys, never paths: what a tar holds lies in numbered files of a private directory.
class ArchiveTree {
 public:
  static base::Result<std::unique_ptr<ArchiveTree>> FromDirectory(const std::string& path);
  // Reads the (compressed) tar to its end. The store's shared lock must be held as long as it
  // lives.
  static base::Result<std::unique_ptr<ArchiveTree>> FromTar(Store& store, layer::ByteSource& source,
                                                            const layer::UnpackLimits& limits);
  ~ArchiveTree();
  ArchiveTree(const ArchiveTree&) = delete;
  ArchiveTree& operator=(const ArchiveTree&) = delete;

  bool Has(const std::string& name) const;
  base::Result<base::UniqueFd> Open(const std::string& name) const;
  base::Result<std::string> Read(const std::string& name, size_t max_bytes) const;

 private:
  ArchiveTree() = default;
  base::Result<std::string> Resolve(const std::string& name) const;

  base::UniqueFd directory_;                  // FromDirectory
  std::string temporary_;                     // FromTar
  std::map<std::string, std::string> files_;  // name there → file name in temporary_
  std::map<std::string, std::string> links_;  // name there → name there
};

enum class ArchiveKind { kOci, kDocker, kRootfs };

// What kind of tar this is, told by the names of its first entries; for "a root file system" one
// entry that no image archive has is enough. Reads from `source`.
base::Result<ArchiveKind> DetectArchive(layer::ByteSource& source);

}  // namespace holt::image
