#pragma once

#include <sys/types.h>
#include <time.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "image/store.h"

namespace holt::image::layer {

struct Metadata {
  mode_t mode = 0755;  // permission bits, set-id and sticky included
  uid_t uid = 0;
  gid_t gid = 0;
  timespec mtime{};
  std::vector<std::pair<std::string, std::string>> xattrs;
};

// Writes the entries of one layer under its root directory. Every path is resolved by openat2
// beneath the root and without following any symbolic link, so no archive can reach outside,
// whatever its entries do to each other. Paths are normalized ("a/b"); the root itself is "".
class TreeWriter {
 public:
  static base::Result<TreeWriter> Open(const std::string& root, Driver driver);

  base::Status Directory(const std::string& path, const Metadata& metadata);
  // Creates the file and hands out its descriptor; Finish with the same metadata sets the rest.
  base::Result<base::UniqueFd> CreateFile(const std::string& path);
  base::Status FinishFile(int fd, const std::string& path, const Metadata& metadata);
  base::Status Symlink(const std::string& path, const std::string& target,
                       const Metadata& metadata);
  // Device, fifo: `type` is S_IFCHR, S_IFBLK or S_IFIFO.
  base::Status Node(const std::string& path, mode_t type, dev_t device, const Metadata& metadata);
  // A target this layer does not have is noted for Fixup: a lower layer may have it.
  base::Status HardLink(const std::string& path, const std::string& target);
  // Hides `path` of the lower layers.
  base::Status Whiteout(const std::string& path);
  // Hides all that the directory `path` has in lower layers.
  base::Status Opaque(const std::string& path);

  // Sets the times of directories, which every entry made in them changed.
  base::Status Finish();

  // Directories no entry described: they take after the lower layers' (see Fixup).
  const std::set<std::string>& implicit_directories() const { return implicit_; }
  const std::vector<std::pair<std::string, std::string>>& missing_links() const { return missing_; }
  bool opaque_root() const { return opaque_root_; }
  // No entry described the root directory itself.
  bool implicit_root() const { return implicit_root_; }
  int root_fd() const { return root_.get(); }

 private:
  TreeWriter(base::UniqueFd root, Driver driver) : root_(std::move(root)), driver_(driver) {}
  // The directory `path`, made if it is missing.
  base::Result<int> ParentFd(const std::string& path);
  base::Result<base::UniqueFd> OpenDirectory(const std::string& path);
  base::Status MakeMissing(const std::string& path);
  // Makes room for a new entry: removes what is there. Sets `was_whiteout` if that was a whiteout.
  base::Status Clear(int parent, const std::string& name, const std::string& path,
                     bool* was_whiteout);
  bool IsWhiteout(int parent, const std::string& name) const;
  base::Status MarkOpaque(int directory, const std::string& path);
  base::Status Apply(int parent, const std::string& name, const std::string& path,
                     const Metadata& metadata, bool symlink);

  base::UniqueFd root_;
  Driver driver_;
  std::map<std::string, base::UniqueFd> cache_;  // directories opened lately
  std::set<std::string> implicit_;
  std::map<std::string, timespec> directory_times_;
  std::vector<std::pair<std::string, std::string>> missing_;
  bool opaque_root_ = false;
  bool implicit_root_ = true;
};

// May an image bring this extended attribute? kDrop: not holt's to keep. An error for what would
// take over overlayfs.
enum class XattrVerdict { kKeep, kDrop };
base::Result<XattrVerdict> JudgeXattr(std::string_view name);

}  // namespace holt::image::layer
