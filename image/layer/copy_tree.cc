#include "image/layer/copy_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "base/file.h"
#include "image/layer/copy.h"
#include "image/layer/entry_path.h"

namespace holt::image::layer {

using base::Result;
using base::Status;
using base::UniqueFd;

namespace {

constexpr char kOpaque[] = ".wh..wh..opq";

struct DirCloser {
  void operator()(DIR* dir) const { closedir(dir); }
};

Result<std::vector<std::string>> Names(int directory) {
  UniqueFd copy(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!copy) return HOLT_ERRNO("read directory");
  std::unique_ptr<DIR, DirCloser> dir(fdopendir(copy.get()));
  if (!dir) return HOLT_ERRNO("read directory");
  (void)copy.Release();
  std::vector<std::string> names;
  while (const dirent* entry = readdir(dir.get())) {
    std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

// A path that reaches `name` in the directory behind the descriptor.
std::string Below(int directory, const std::string& name) {
  return fmt::format("/proc/self/fd/{}/{}", directory, name);
}

Status Discard(int directory, const std::string& name) {
  return base::RemoveTree(Below(directory, name));
}

Status Empty(int directory) {
  TRY_ASSIGN(auto names, Names(directory));
  for (const std::string& name : names) TRY(Discard(directory, name));
  return {};
}

// One layer onto what is there. Works through a list of directories instead of calling itself: an
// image decides how deep they are.
class LayerCopy {
 public:
  LayerCopy(int from, int to) : from_(from), to_(to) {}

  Status Run() {
    pending_.push_back("");
    while (!pending_.empty()) {
      std::string path = std::move(pending_.back());
      pending_.pop_back();
      visited_.push_back(path);
      TRY_CONTEXT(CopyDirectory(path), fmt::format("copy \"{}\"", ShownName(path)));
    }
    // Children first: work in a directory changes its times.
    for (auto it = visited_.rbegin(); it != visited_.rend(); ++it) {
      TRY_ASSIGN(UniqueFd from, OpenIn(from_, *it));
      TRY_ASSIGN(UniqueFd to, OpenIn(to_, *it));
      struct stat st {};
      if (fstat(from.get(), &st) != 0) return HOLT_ERRNO("stat");
      TRY_CONTEXT(CopyMetadata(from.get(), to.get(), st), ShownName(*it));
    }
    return {};
  }

 private:
  static Result<UniqueFd> OpenIn(int root, const std::string& path) {
    // Both trees are the store's own and nobody else writes them; a symbolic link is still not
    // followed.
    UniqueFd at;
    size_t start = 0;
    int current = root;
    while (start < path.size()) {
      size_t slash = std::min(path.find('/', start), path.size());
      std::string name = path.substr(start, slash - start);
      TRY_ASSIGN(UniqueFd next, base::OpenAt(current, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      at = std::move(next);
      current = at.get();
      start = slash + 1;
    }
    if (at) return at;
    return base::OpenAt(root, ".", O_RDONLY | O_DIRECTORY);
  }

  Status CopyDirectory(const std::string& path) {
    TRY_ASSIGN(UniqueFd from, OpenIn(from_, path));
    TRY_ASSIGN(UniqueFd to, OpenIn(to_, path));
    TRY_ASSIGN(auto names, Names(from.get()));
    if (std::binary_search(names.begin(), names.end(), kOpaque)) TRY(Empty(to.get()));
    for (const std::string& name : names) {
      if (name == kOpaque) continue;
      TRY_ASSIGN(Whiteout whiteout, ParseWhiteout(name));
      if (whiteout.kind == WhiteoutKind::kFile) TRY(Discard(to.get(), whiteout.target));
    }
    for (const std::string& name : names) {
      if (name.starts_with(".wh.")) continue;
      std::string below = path.empty() ? "" : path + "/";
      TRY(CopyEntry(from.get(), to.get(), name, below.append(name)));
    }
    return {};
  }

  Status CopyEntry(int from, int to, const std::string& name, const std::string& path) {
    struct stat st {};
    struct stat old {};
    if (fstatat(from, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
      return HOLT_ERRNO("stat {}", name);
    bool there = fstatat(to, name.c_str(), &old, AT_SYMLINK_NOFOLLOW) == 0;
    bool merge = there && S_ISDIR(st.st_mode) && S_ISDIR(old.st_mode);
    if (there && !merge) TRY(Discard(to, name));
    if (S_ISDIR(st.st_mode)) {
      if (!merge && mkdirat(to, name.c_str(), 0700) != 0) return HOLT_ERRNO("mkdir {}", name);
      pending_.push_back(path);
      return {};
    }
    auto key = std::pair(st.st_dev, st.st_ino);
    if (st.st_nlink > 1) {
      if (auto known = links_.find(key); known != links_.end()) {
        SplitPath split = Split(known->second);
        TRY_ASSIGN(UniqueFd parent, OpenIn(to_, split.parent));
        if (linkat(parent.get(), split.name.c_str(), to, name.c_str(), 0) != 0)
          return HOLT_ERRNO("link {}", name);
        return {};
      }
      links_.emplace(key, path);
    }
    return CopyNode(from, to, name, st);
  }

  static Status CopyNode(int from, int to, const std::string& name, const struct stat& st) {
    if (S_ISREG(st.st_mode)) {
      TRY_ASSIGN(UniqueFd in, base::OpenAt(from, name, O_RDONLY | O_NOFOLLOW | O_NOATIME));
      TRY_ASSIGN(UniqueFd out,
                 base::OpenAt(to, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0600));
      TRY_CONTEXT(CopyContent(in.get(), out.get(), static_cast<uint64_t>(st.st_size)),
                  ShownName(name));
      return CopyMetadata(in.get(), out.get(), st);
    }
    if (S_ISLNK(st.st_mode)) {
      std::string target(4096, '\0');
      ssize_t length = readlinkat(from, name.c_str(), target.data(), target.size());
      if (length < 0) return HOLT_ERRNO("read link {}", name);
      target.resize(static_cast<size_t>(length));
      if (symlinkat(target.c_str(), to, name.c_str()) != 0) return HOLT_ERRNO("symlink {}", name);
    } else if (mknodat(to, name.c_str(), st.st_mode, st.st_rdev) != 0) {
      return HOLT_ERRNO("make node {}", name);
    }
    TRY_ASSIGN(UniqueFd in, base::OpenAt(from, name, O_PATH | O_NOFOLLOW));
    TRY_ASSIGN(UniqueFd out, base::OpenAt(to, name, O_PATH | O_NOFOLLOW));
    return CopyMetadata(in.get(), out.get(), st);
  }

  int from_;
  int to_;
  std::vector<std::string> pending_;
  std::vector<std::string> visited_;  // parents before children
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
};

}  // namespace

Status CopyLayers(const std::vector<std::string>& layers, const std::string& target) {
  TRY_ASSIGN(UniqueFd to, base::Open(target, O_RDONLY | O_DIRECTORY));
  for (const std::string& layer : layers) {
    TRY_ASSIGN(UniqueFd from, base::Open(layer, O_RDONLY | O_DIRECTORY));
    TRY(LayerCopy(from.get(), to.get()).Run());
  }
  return {};
}

}  // namespace holt::image::layer
