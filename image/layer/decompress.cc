#include "image/layer/decompress.h"

#include <archive.h>
#include <archive_entry.h>

namespace holt::image::layer {

using base::Code;
using base::Error;
using base::Result;

long Decompressor::OnRead(archive* handle, void* self, const void** out) {
  auto* me = static_cast<Decompressor*>(self);
  auto n = me->source_.Read(me->buffer_);
  if (!n) {
    archive_set_error(handle, EIO, "source");
    me->source_error_ = std::make_unique<Error>(std::move(n).error());
    return -1;
  }
  *out = me->buffer_.data();
  return static_cast<long>(*n);
}

Error Decompressor::MakeArchiveError(const char* what) {
  if (source_error_) return *source_error_;
  const char* text = archive_error_string(handle_);
  return Error(Code::kDataLoss, fmt::format("{}: {}: {}", what, filter(), text ? text : "damaged"));
}

Result<std::unique_ptr<Decompressor>> Decompressor::Open(ByteSource& source) {
  std::unique_ptr<Decompressor> self(new Decompressor(source));
  self->handle_ = archive_read_new();
  HOLT_CHECK(self->handle_ != nullptr);
  // Named one by one: "all" includes filters that start other programs.
  for (auto support : {archive_read_support_filter_gzip, archive_read_support_filter_zstd,
                       archive_read_support_filter_xz, archive_read_support_filter_bzip2})
    support(self->handle_);
  archive_read_support_format_raw(self->handle_);
  archive_read_support_format_empty(self->handle_);
  if (archive_read_open(self->handle_, self.get(), nullptr, OnRead, nullptr) != ARCHIVE_OK)
    return self->MakeArchiveError("decompress");
  archive_entry* entry = nullptr;
  int result = archive_read_next_header(self->handle_, &entry);
  if (result == ARCHIVE_EOF) {
    self->empty_ = true;
  } else if (result < ARCHIVE_WARN) {
    return self->MakeArchiveError("decompress");
  }
  return self;
}

Decompressor::~Decompressor() {
  if (handle_) archive_read_free(handle_);
}

Result<std::span<const std::byte>> Decompressor::Next() {
  if (empty_) return std::span<const std::byte>();
  while (true) {
    const void* data = nullptr;
    size_t size = 0;
    la_int64_t offset = 0;
    int result = archive_read_data_block(handle_, &data, &size, &offset);
    if (result == ARCHIVE_EOF) return std::span<const std::byte>();
    if (result < ARCHIVE_WARN) return MakeArchiveError("decompress");
    if (size > 0) return std::span(static_cast<const std::byte*>(data), size);
  }
}

std::string Decompressor::filter() const {
  int code = archive_filter_count(handle_) > 0 ? archive_filter_code(handle_, 0) : 0;
  switch (code) {
    case ARCHIVE_FILTER_GZIP:
      return "gzip";
    case ARCHIVE_FILTER_ZSTD:
      return "zstd";
    case ARCHIVE_FILTER_XZ:
      return "xz";
    case ARCHIVE_FILTER_BZIP2:
      return "bzip2";
    default:
      return "none";
  }
}

}  // namespace holt::image::layer
