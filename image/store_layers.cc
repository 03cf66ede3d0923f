#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "image/store.h"
#include "image/store_json.h"

namespace holt::image {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

namespace {

std::string LayerDirectory(const std::string& store, const Digest& chain_id) {
  return store + "/layers/" + chain_id.FileName();
}

}  // namespace

std::string Store::BlobPath(const Digest& digest) const {
  return path_ + "/blobs/" + digest.algorithm() + "/" + digest.hex();
}

bool Store::HasBlob(const Digest& digest) const { return base::PathExists(BlobPath(digest)); }

Status Store::WriteBlob(const Digest& digest, std::string_view content) {
  Hasher hasher(digest.algorithm());
  hasher.Update(content);
  if (Digest real = hasher.Finish(); real != digest)
    return MakeError(Code::kDataLoss, "{}: the content has digest {}", digest.text(), real.text());
  // Also over an existing one: it may have rotted, and the content is small.
  return WriteAside(path_, BlobPath(digest), content);
}

Result<std::string> Store::ReadBlob(const Digest& digest, size_t max_bytes) {
  TRY_ASSIGN(std::string content, base::ReadFile(BlobPath(digest), max_bytes));
  Hasher hasher(digest.algorithm());
  hasher.Update(content);
  if (hasher.Finish() != digest)
    return MakeError(Code::kDataLoss,
                     "blob {} is damaged in the image store {}; pull the image again",
                     digest.text(), path_);
  return content;
}

std::string Store::PartialPath(const Digest& digest) const {
  return path_ + "/ingest/" + digest.FileName();
}

std::string Store::LayerLockPath(const Digest& chain_id) const {
  return path_ + "/locks/" + chain_id.FileName();
}

std::string Store::LayerRoot(const Digest& chain_id) const {
  return LayerDirectory(path_, chain_id) + "/fs";
}

bool Store::HasLayer(const Digest& chain_id) const {
  std::string directory = LayerDirectory(path_, chain_id);
  if (!base::PathExists(directory + "/layer.json")) return false;
  if (base::PathExists(directory + "/flushed")) return true;
  // Written but not flushed: whole as long as the kernel that holds its pages runs.
  auto info = ReadLayer(chain_id);
  return info && !info->boot_id.empty() && info->boot_id == BootId();
}

Result<LayerInfo> Store::ReadLayer(const Digest& chain_id) const {
  std::string path = LayerDirectory(path_, chain_id) + "/layer.json";
  TRY_ASSIGN(std::string text, base::ReadFile(path, kMaxRecordBytes));
  return ParseRecord<LayerInfo>(text, path);
}

Status Store::CommitLayer(const std::string& directory, const LayerInfo& info) {
  TRY_ASSIGN(Digest chain_id, Digest::Parse(info.chain_id));
  LayerInfo record = info;
  record.boot_id = BootId();
  TRY(base::WriteFile(directory + "/layer.json", WriteRecord(record), 0600));
  std::string target = LayerDirectory(path_, chain_id);
  if (renameat2(AT_FDCWD, directory.c_str(), AT_FDCWD, target.c_str(), RENAME_NOREPLACE) == 0)
    return {};
  if (errno != EEXIST) return HOLT_ERRNO("rename {} to {}", directory, target);
  if (HasLayer(chain_id)) return base::RemoveTree(directory);
  // What is there was not flushed before a crash. Swap, so that no reader meets a gap.
  if (renameat2(AT_FDCWD, directory.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) != 0)
    return HOLT_ERRNO("exchange {} and {}", directory, target);
  return base::RemoveTree(directory);
}

Status Store::FlushLayers(const std::vector<Digest>& chain_ids) {
  std::vector<std::string> markers;
  for (const Digest& chain_id : chain_ids) {
    std::string marker = LayerDirectory(path_, chain_id) + "/flushed";
    if (!base::PathExists(marker)) markers.push_back(std::move(marker));
  }
  if (markers.empty()) return {};
  TRY_ASSIGN(UniqueFd directory, base::Open(path_ + "/layers", O_RDONLY | O_DIRECTORY));
  if (syncfs(directory.get()) != 0) return HOLT_ERRNO("flush the layers to disk ({})", path_);
  for (const std::string& marker : markers) TRY(base::WriteFile(marker, "", 0600));
  return {};
}

}  // namespace holt::image
