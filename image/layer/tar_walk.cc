#include "image/layer/tar_walk.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cstring>

#include "image/layer/entry_path.h"

namespace holt::image::layer {

using base::Code;
using base::Error;
using base::Result;
using base::Status;

Utf8Locale::Utf8Locale()
    : mine_(newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)),
      previous_(mine_ ? uselocale(mine_) : nullptr) {}

Utf8Locale::~Utf8Locale() {
  if (previous_) uselocale(previous_);
  if (mine_) freelocale(mine_);
}

long TarReader::OnRead(archive* handle, void* self, const void** out) {
  auto* me = static_cast<TarReader*>(self);
  auto bytes = me->next_();
  if (!bytes) {
    archive_set_error(handle, EIO, "source");
    me->source_error_ = std::make_unique<Error>(std::move(bytes).error());
    return -1;
  }
  *out = bytes->data();
  return static_cast<long>(bytes->size());
}

Error TarReader::MakeError(const char* what) {
  if (source_error_) return *source_error_;
  const char* text = archive_error_string(handle_);
  return Error(Code::kDataLoss, fmt::format("{}: {}", what, ShownName(text ? text : "damaged")));
}

Result<std::unique_ptr<TarReader>> TarReader::Open(NextBytes next, const UnpackLimits& limits) {
  std::unique_ptr<TarReader> self(new TarReader(std::move(next), limits));
  self->handle_ = archive_read_new();
  HOLT_CHECK(self->handle_ != nullptr);
  archive_read_support_format_tar(self->handle_);
  archive_read_support_format_empty(self->handle_);
  if (archive_read_open(self->handle_, self.get(), nullptr, OnRead, nullptr) != ARCHIVE_OK)
    return self->MakeError("not a tar archive");
  return self;
}

TarReader::~TarReader() {
  if (handle_) archive_read_free(handle_);
}

Result<bool> TarReader::Next(TarEntry& entry) {
  archive_entry* from = nullptr;
  int result = archive_read_next_header(handle_, &from);
  if (result == ARCHIVE_EOF) return false;
  // A warning is about what could not be read of the entry, and half an entry is not the image's.
  if (result != ARCHIVE_OK) return MakeError("damaged tar archive");
  if (++entries_ > limits_.max_entries)
    return base::MakeError(Code::kResourceExhausted,
                           "hostile archive: more than {} entries in one layer",
                           limits_.max_entries);
  TRY(Convert(from, entry));
  return true;
}

Status TarReader::ConvertXattrs(archive_entry* from, TarEntry& entry) {
  entry.metadata.xattrs.clear();
  uint64_t total = 0;
  archive_entry_xattr_reset(from);
  const char* name = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  while (archive_entry_xattr_next(from, &name, &value, &size) == ARCHIVE_OK) {
    total += size;
    if (total > limits_.max_xattr_bytes)
      return base::MakeError(
          Code::kResourceExhausted,
          "hostile archive: \"{}\" has more than {} bytes of extended attributes",
          ShownName(entry.path), limits_.max_xattr_bytes);
    TRY_ASSIGN_CONTEXT(XattrVerdict verdict, JudgeXattr(name), ShownName(entry.path));
    if (verdict == XattrVerdict::kKeep)
      entry.metadata.xattrs.emplace_back(name, std::string(static_cast<const char*>(value), size));
  }
  return {};
}

Status TarReader::Convert(archive_entry* from, TarEntry& entry) {
  const char* name = archive_entry_pathname(from);
  if (!name)
    return base::MakeError(Code::kInvalidArgument, "archive: entry {} has no name", entries_);
  TRY_ASSIGN(entry.path, NormalizeEntryPath(name, limits_.max_path));
  entry.link.clear();
  entry.device = 0;
  entry.size =
      archive_entry_size_is_set(from) ? static_cast<uint64_t>(archive_entry_size(from)) : 0;
  if (const char* target = archive_entry_hardlink(from)) {
    entry.type = EntryType::kHardLink;
    TRY_ASSIGN_CONTEXT(entry.link, NormalizeEntryPath(target, limits_.max_path),
                       fmt::format("hard link \"{}\"", ShownName(name)));
  } else {
    switch (archive_entry_filetype(from)) {
      case AE_IFREG:
        entry.type = EntryType::kFile;
        break;
      case AE_IFDIR:
        entry.type = EntryType::kDirectory;
        break;
      case AE_IFLNK:
        entry.type = EntryType::kSymlink;
        break;
      case AE_IFCHR:
        entry.type = EntryType::kCharacter;
        break;
      case AE_IFBLK:
        entry.type = EntryType::kBlock;
        break;
      case AE_IFIFO:
        entry.type = EntryType::kFifo;
        break;
      default:
        return base::MakeError(Code::kUnsupported, "archive: \"{}\" is of an unknown type ({:o})",
                               ShownName(name),
                               static_cast<unsigned>(archive_entry_filetype(from)));
    }
  }
  // Holes cost no room here, but whoever reads or copies the file pays for them.
  if (entry.type == EntryType::kFile && entry.size > limits_.max_bytes)
    return base::MakeError(Code::kResourceExhausted,
                           "hostile archive: \"{}\" claims a size of {} bytes, more than {}",
                           ShownName(name), entry.size, limits_.max_bytes);
  if (entry.type == EntryType::kSymlink) {
    const char* target = archive_entry_symlink(from);
    if (!target || !*target || strlen(target) > limits_.max_path)
      return base::MakeError(Code::kInvalidArgument,
                             "archive: the symbolic link \"{}\" has no target Linux could keep",
                             ShownName(name));
    entry.link = target;
  }
  if (entry.type == EntryType::kCharacter || entry.type == EntryType::kBlock)
    entry.device = makedev(archive_entry_rdevmajor(from), archive_entry_rdevminor(from));
  int64_t uid = archive_entry_uid(from);
  int64_t gid = archive_entry_gid(from);
  if (uid < 0 || gid < 0 || uid >= UINT32_MAX || gid >= UINT32_MAX)
    return base::MakeError(Code::kInvalidArgument,
                           "archive: the owner {}:{} of \"{}\" is out of range", uid, gid,
                           ShownName(name));
  entry.metadata.uid = static_cast<uid_t>(uid);
  entry.metadata.gid = static_cast<gid_t>(gid);
  entry.metadata.mode = archive_entry_perm(from) & 07777;
  entry.metadata.mtime.tv_sec = archive_entry_mtime_is_set(from) ? archive_entry_mtime(from) : 0;
  entry.metadata.mtime.tv_nsec =
      archive_entry_mtime_is_set(from) ? archive_entry_mtime_nsec(from) : 0;
  if (entry.metadata.mtime.tv_nsec < 0 || entry.metadata.mtime.tv_nsec > 999'999'999)
    entry.metadata.mtime.tv_nsec = 0;
  return ConvertXattrs(from, entry);
}

Result<std::span<const std::byte>> TarReader::Data(uint64_t& offset) {
  while (true) {
    const void* data = nullptr;
    size_t size = 0;
    la_int64_t at = 0;
    int result = archive_read_data_block(handle_, &data, &size, &at);
    if (result == ARCHIVE_EOF) return std::span<const std::byte>();
    if (result != ARCHIVE_OK) return MakeError("damaged tar archive");
    offset = static_cast<uint64_t>(at);
    if (size > 0) return std::span(static_cast<const std::byte*>(data), size);
  }
}

}  // namespace holt::image::layer
