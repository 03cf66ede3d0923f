#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "image/store.h"
#include "oci/json_binding.h"

// The store's own records as JSON; docs/image-store.md lists the properties.
namespace holt::image {

template <typename A>
void Describe(A& a, StoredImage& x) {
  a("name", x.name);
  a("id", x.id);
  a("digest", x.digest);
  a("manifestDigest", x.manifest_digest);
  a("platform", x.platform);
  a("created", x.created);
  a("storedAt", x.stored_at);
  a("size", x.size);
  a("layers", x.layers);
}

template <typename A>
void Describe(A& a, LayerInfo& x) {
  a("chainId", x.chain_id);
  a("diffId", x.diff_id);
  a("parent", x.parent);
  a("blobDigest", x.blob_digest);
  a("size", x.size);
  a("entries", x.entries);
  a("bootId", x.boot_id);
}

inline constexpr size_t kMaxRecordBytes = 1 << 20;

// Reads a record of the store; `what` names it in the error.
template <typename T>
base::Result<T> ParseRecord(std::string_view text, const std::string& what) {
  TRY_ASSIGN(oci::Json json, oci::ParseJsonText(text, what, kMaxRecordBytes, 8));
  T value;
  oci::JsonReader reader;
  reader.ReadRoot(json, value);
  TRY_CONTEXT(reader.status(), what);
  return value;
}

template <typename T>
std::string WriteRecord(const T& value) {
  return oci::DumpJson(oci::JsonWriter::Write(value), 2) + "\n";
}

// Writes under the store's tmp/, syncs, renames to `path` and syncs the directory: whole or not
// there.
base::Status WriteAside(const std::string& store, const std::string& path,
                        std::string_view content);

// Names in a directory, "." and ".." left out, sorted; a directory that is not there has none.
base::Result<std::vector<std::string>> ListNames(const std::string& directory);

// /proc/sys/kernel/random/boot_id.
std::string BootId();

// Adds the mend to an error for want of space.
base::Error ExplainSpace(base::Error error, const std::string& store);
// The file system is full, or the quota is.
bool IsFull(const base::Error& error);

}  // namespace holt::image
