#pragma once

#include <locale.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "image/layer/limits.h"
#include "image/layer/tree_writer.h"

struct archive;
struct archive_entry;

namespace holt::image::layer {

enum class EntryType { kFile, kDirectory, kSymlink, kHardLink, kCharacter, kBlock, kFifo };

// One entry of a tar, checked: `path` is normalized, `link` of a hard link too.
struct TarEntry {
  std::string path;
  EntryType type = EntryType::kFile;
  std::string link;  // target of a symlink (as it is) or hard link
  uint64_t size = 0;
  dev_t device = 0;
  Metadata metadata;
};

// Reads a tar (pax, GNU with sparse files and long names, ustar, v7) from a function that gives the
// next bytes (empty: end). Names are bytes, whatever the locale.
class TarReader {
 public:
  using NextBytes = std::function<base::Result<std::span<const std::byte>>()>;

  static base::Result<std::unique_ptr<TarReader>> Open(NextBytes next, const UnpackLimits& limits);
  ~TarReader();
  TarReader(const TarReader&) = delete;
  TarReader& operator=(const TarReader&) = delete;

  // The next entry; false at the end. Counts entries against the limits.
  base::Result<bool> Next(TarEntry& entry);
  // The next piece of the current file's content and where it belongs: holes are left out. Empty:
  // end.
  base::Result<std::span<const std::byte>> Data(uint64_t& offset);

  uint64_t entries() const { return entries_; }

 private:
  TarReader(NextBytes next, const UnpackLimits& limits) : next_(std::move(next)), limits_(limits) {}
  static long OnRead(archive* handle, void* self, const void** out);
  base::Error MakeError(const char* what);
  base::Status Convert(archive_entry* from, TarEntry& entry);
  base::Status ConvertXattrs(archive_entry* from, TarEntry& entry);

  NextBytes next_;
  UnpackLimits limits_;
  archive* handle_ = nullptr;
  uint64_t entries_ = 0;
  std::unique_ptr<base::Error> source_error_;
};

// While it lives this thread takes names for UTF-8: libarchive converts pax names by the locale,
// and in the locale "C" loses what is not ASCII.
class Utf8Locale {
 public:
  Utf8Locale();
  ~Utf8Locale();
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

 private:
  locale_t mine_;
  locale_t previous_;
};

}  // namespace holt::image::layer
