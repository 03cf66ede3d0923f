#include "image/archive_tree.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "image/layer/decompress.h"
#include "image/layer/entry_path.h"
#include "image/layer/tar_walk.h"
#include "image/store_json.h"

namespace holt::image {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

namespace {

// An archive has a file or three per layer, and at most 500 layers.
constexpr uint64_t kMostEntries = 100'000;
constexpr int kMostLinks = 8;

// A tar and the decompressor under it.
struct OpenTar {
  std::unique_ptr<layer::Decompressor> decompressor;
  std::unique_ptr<layer::TarReader> reader;
};

Result<OpenTar> OpenTarOf(layer::ByteSource& source, const layer::UnpackLimits& limits) {
  OpenTar tar;
  TRY_ASSIGN(tar.decompressor, layer::Decompressor::Open(source));
  TRY_ASSIGN(tar.reader, layer::TarReader::Open(
                             [from = tar.decompressor.get()] { return from->Next(); }, limits));
  return tar;
}

bool IsHexName(std::string_view name) {
  return name.size() == 64 && std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// Could an image archive have this entry?
bool BelongsToArchive(const std::string& path) {
  for (std::string_view name :
       {"", "blobs", "oci-layout", "index.json", "manifest.json", "repositories"})
    if (path == name) return true;
  if (path.starts_with("blobs/sha256") || path.starts_with("blobs/sha512")) return true;
  std::string_view first = std::string_view(path).substr(0, path.find('/'));
  for (std::string_view ending : {".json", ".tar", ".tar.gz"})
    if (first.ends_with(ending)) first.remove_suffix(ending.size());
  return IsHexName(first.starts_with("sha256:") ? first.substr(7) : first);
}

Status CopyOut(layer::TarReader& reader, const std::string& target, uint64_t& total,
               uint64_t most) {
  TRY_ASSIGN(UniqueFd fd, base::Open(target, O_CREAT | O_EXCL | O_WRONLY, 0600));
  while (true) {
    uint64_t offset = 0;
    TRY_ASSIGN(auto bytes, reader.Data(offset));
    if (bytes.empty()) return {};
    total += bytes.size();
    if (total > most)
      return MakeError(Code::kResourceExhausted, "archive: more than {} bytes", most);
    while (!bytes.empty()) {
      ssize_t n = pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return HOLT_ERRNO("unpack archive: write {}", target);
      bytes = bytes.subspan(static_cast<size_t>(n));
      offset += static_cast<uint64_t>(n);
    }
  }
}

// "a/b" and "../c/layer.tar" make "c/layer.tar".
std::string Join(const std::string& from, const std::string& link) {
  std::string directory = layer::Split(from).parent;
  std::string_view rest = link;
  while (rest.starts_with("../")) {
    directory = layer::Split(directory).parent;
    rest.remove_prefix(3);
  }
  return directory.empty() ? std::string(rest) : directory + "/" + std::string(rest);
}

}  // namespace

Result<std::unique_ptr<ArchiveTree>> ArchiveTree::FromDirectory(const std::string& path) {
  std::unique_ptr<ArchiveTree> tree(new ArchiveTree);
  TRY_ASSIGN(tree->directory_, base::Open(path, O_RDONLY | O_DIRECTORY));
  return tree;
}

Result<std::unique_ptr<ArchiveTree>> ArchiveTree::FromTar(Store& store, layer::ByteSource& source,
                                                          const layer::UnpackLimits& limits) {
  layer::Utf8Locale locale;
  std::unique_ptr<ArchiveTree> tree(new ArchiveTree);
  TRY_ASSIGN(tree->temporary_, store.NewTemporary("archive"));
  layer::UnpackLimits mine = limits;
  mine.max_entries = std::min(mine.max_entries, kMostEntries);
  TRY_ASSIGN(OpenTar tar, OpenTarOf(source, mine));
  layer::TarEntry entry;
  uint64_t total = 0;
  while (true) {
    TRY_ASSIGN(bool more, tar.reader->Next(entry));
    if (!more) return tree;
    if (entry.type == layer::EntryType::kSymlink) {
      tree->links_[entry.path] = Join(entry.path, entry.link);
    } else if (entry.type == layer::EntryType::kHardLink) {
      tree->links_[entry.path] = entry.link;
    } else if (entry.type == layer::EntryType::kFile) {
      std::string name = std::to_string(tree->files_.size());
      // A name that comes twice: the last one counts, as in any tar.
      if (auto it = tree->files_.find(entry.path); it != tree->files_.end()) {
        name = it->second;
        unlink((tree->temporary_ + "/" + name).c_str());
      }
      Status copied = CopyOut(*tar.reader, tree->temporary_ + "/" + name, total, mine.max_bytes);
      if (!copied) return ExplainSpace(std::move(copied).error(), store.path());
      tree->files_[entry.path] = name;
    }
  }
}

ArchiveTree::~ArchiveTree() {
  if (temporary_.empty()) return;
  if (Status removed = base::RemoveTree(temporary_); !removed)
    base::log::Warning("image store: {}", removed.error().message());
}

Result<std::string> ArchiveTree::Resolve(const std::string& name) const {
  std::string current = name;
  for (int i = 0; i < kMostLinks; ++i) {
    if (auto it = files_.find(current); it != files_.end()) return temporary_ + "/" + it->second;
    auto link = links_.find(current);
    if (link == links_.end()) break;
    current = link->second;
  }
  return base::Error(Code::kNotFound,
                     fmt::format("the archive has no file \"{}\"", layer::ShownName(name)), ENOENT);
}

bool ArchiveTree::Has(const std::string& name) const { return Open(name).ok(); }

Result<UniqueFd> ArchiveTree::Open(const std::string& name) const {
  if (!directory_) {
    TRY_ASSIGN(std::string path, Resolve(name));
    return base::Open(path, O_RDONLY);
  }
  TRY_ASSIGN(UniqueFd found, base::OpenAt2(directory_.get(), name, O_PATH,
                                           RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS));
  // Opening a pipe waits for its writer, and opening a device acts on it.
  struct stat st {};
  if (fstat(found.get(), &st) != 0) return HOLT_ERRNO("stat \"{}\"", layer::ShownName(name));
  if (!S_ISREG(st.st_mode))
    return MakeError(Code::kInvalidArgument, "\"{}\" is not a file", layer::ShownName(name));
  return base::Open(fmt::format("/proc/self/fd/{}", found.get()), O_RDONLY);
}

Result<std::string> ArchiveTree::Read(const std::string& name, size_t max_bytes) const {
  TRY_ASSIGN(UniqueFd fd, Open(name));
  auto text = base::ReadFd(fd.get(), max_bytes);
  if (!text) return std::move(text).error().Wrap(layer::ShownName(name));
  return text;
}

Result<ArchiveKind> DetectArchive(layer::ByteSource& source) {
  layer::Utf8Locale locale;
  layer::UnpackLimits limits;
  limits.max_entries = kMostEntries;
  TRY_ASSIGN(OpenTar tar, OpenTarOf(source, limits));
  bool docker = false;
  bool layout = false;
  layer::TarEntry entry;
  while (true) {
    TRY_ASSIGN(bool more, tar.reader->Next(entry));
    if (!more) break;
    if (!BelongsToArchive(entry.path)) return ArchiveKind::kRootfs;
    docker = docker || entry.path == "manifest.json";
    layout = layout || entry.path == "oci-layout";
    // Docker's newer archives are both; the layout says more.
    if (layout) return ArchiveKind::kOci;
  }
  return docker ? ArchiveKind::kDocker : ArchiveKind::kRootfs;
}

}  // namespace holt::image
