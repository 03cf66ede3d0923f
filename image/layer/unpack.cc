#include "image/layer/unpack.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "base/file.h"
#include "image/layer/chunk_queue.h"
#include "image/layer/decompress.h"
#include "image/layer/entry_path.h"
#include "image/layer/tar_walk.h"
#include "image/layer/tree_writer.h"

namespace holt::image::layer {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

namespace {

constexpr size_t kChunkBytes = 256 << 10;
constexpr size_t kChunks = 16;

// Hashes and counts what passes.
class HashingSource : public ByteSource {
 public:
  HashingSource(ByteSource& from, std::string_view algorithm) : from_(from), hasher_(algorithm) {}
  Result<size_t> Read(std::span<std::byte> buffer) override {
    auto n = from_.Read(buffer);
    if (!n) return n;
    hasher_.Update(buffer.first(*n));
    count_ += *n;
    return n;
  }
  // What the archive's end left unread belongs to the digest too.
  Status Drain() {
    std::vector<std::byte> buffer(kChunkBytes);
    while (true) {
      TRY_ASSIGN(size_t n, Read(buffer));
      if (n == 0) return {};
    }
  }
  Digest Finish() { return hasher_.Finish(); }
  uint64_t count() const { return count_; }

 private:
  ByteSource& from_;
  Hasher hasher_;
  uint64_t count_ = 0;
};

// The decompressing thread: bytes from the source to the queue, hashed on both sides.
class Feeder {
 public:
  Feeder(ByteSource& source, const UnpackOptions& options)
      : options_(options),
        source_(source,
                options.expected_blob.empty() ? "sha256" : options.expected_blob.algorithm()),
        diff_(options.expected_diff_id.empty() ? "sha256" : options.expected_diff_id.algorithm()),
        queue_(kChunks) {}

  void Run() { queue_.Close(Feed()); }

  Status Feed() {
    Utf8Locale locale;
    TRY_ASSIGN(auto decompressor, Decompressor::Open(source_));
    std::vector<std::byte> chunk = NewChunk();
    while (true) {
      TRY_ASSIGN(auto bytes, decompressor->Next());
      if (bytes.empty()) break;
      out_ += bytes.size();
      TRY(CheckBomb());
      diff_.Update(bytes);
      chunk.insert(chunk.end(), bytes.begin(), bytes.end());
      if (chunk.size() >= kChunkBytes) {
        if (!queue_.Push(std::move(chunk)))
          return MakeError(Code::kCancelled, "the reader has gone");
        chunk = NewChunk();
      }
    }
    if (!chunk.empty() && !queue_.Push(std::move(chunk)))
      return MakeError(Code::kCancelled, "the reader has gone");
    return {};
  }

  Status CheckBomb() {
    const UnpackLimits& limits = options_.limits;
    if (out_ > limits.max_bytes)
      return MakeError(Code::kResourceExhausted,
                       "hostile archive: a layer of more than {} bytes uncompressed",
                       limits.max_bytes);
    if (out_ > limits.ratio_after && out_ / limits.max_ratio > source_.count())
      return MakeError(Code::kResourceExhausted,
                       "hostile archive: {} bytes became more than {} (a decompression bomb)",
                       source_.count(), out_);
    return {};
  }

  ChunkQueue& queue() { return queue_; }
  HashingSource& source() { return source_; }
  Hasher& diff() { return diff_; }

 private:
  std::vector<std::byte> NewChunk() {
    auto chunk = queue_.Spare();
    chunk.reserve(kChunkBytes + (64 << 10));
    return chunk;
  }

  const UnpackOptions& options_;
  HashingSource source_;
  Hasher diff_;
  ChunkQueue queue_;
  uint64_t out_ = 0;
};

Status WriteAt(int fd, std::span<const std::byte> bytes, uint64_t offset, const std::string& path) {
  while (!bytes.empty()) {
    ssize_t n = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return HOLT_ERRNO("write \"{}\"", ShownName(path));
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

Status WriteFileEntry(TarReader& reader, TreeWriter& writer, const TarEntry& entry,
                      UnpackResult& result) {
  TRY_ASSIGN(UniqueFd fd, writer.CreateFile(entry.path));
  uint64_t end = 0;
  while (true) {
    uint64_t offset = 0;
    TRY_ASSIGN(auto bytes, reader.Data(offset));
    if (bytes.empty()) break;
    if (offset > entry.size || bytes.size() > entry.size - offset)
      return MakeError(Code::kInvalidArgument, "archive: \"{}\" has content beyond its size",
                       ShownName(entry.path));
    TRY(WriteAt(fd.get(), bytes, offset, entry.path));
    end = offset + bytes.size();
    result.size += bytes.size();
  }
  // A hole at the end has no bytes of its own.
  if (end < entry.size && ftruncate(fd.get(), static_cast<off_t>(entry.size)) != 0)
    return HOLT_ERRNO("set the size of \"{}\"", ShownName(entry.path));
  return writer.FinishFile(fd.get(), entry.path, entry.metadata);
}

Status WriteEntry(TarReader& reader, TreeWriter& writer, const TarEntry& entry,
                  UnpackResult& result) {
  TRY_ASSIGN(bool metadata, IsUnderMetadata(entry.path));
  if (metadata) return {};
  SplitPath split = Split(entry.path);
  TRY_ASSIGN(Whiteout whiteout, ParseWhiteout(split.name));
  switch (whiteout.kind) {
    case WhiteoutKind::kNone:
      break;
    case WhiteoutKind::kMetadata:
      return {};
    case WhiteoutKind::kOpaque:
      return writer.Opaque(split.parent);
    case WhiteoutKind::kFile:
      return writer.Whiteout(split.parent.empty() ? whiteout.target
                                                  : split.parent + "/" + whiteout.target);
  }
  switch (entry.type) {
    case EntryType::kFile:
      return WriteFileEntry(reader, writer, entry, result);
    case EntryType::kDirectory:
      return writer.Directory(entry.path, entry.metadata);
    case EntryType::kSymlink:
      return writer.Symlink(entry.path, entry.link, entry.metadata);
    case EntryType::kHardLink:
      return writer.HardLink(entry.path, entry.link);
    case EntryType::kCharacter:
      return writer.Node(entry.path, S_IFCHR, entry.device, entry.metadata);
    case EntryType::kBlock:
      return writer.Node(entry.path, S_IFBLK, entry.device, entry.metadata);
    case EntryType::kFifo:
      return writer.Node(entry.path, S_IFIFO, 0, entry.metadata);
  }
  return {};
}

Status WriteTree(ChunkQueue& queue, const std::string& root, const UnpackOptions& options,
                 UnpackResult& result) {
  Utf8Locale locale;
  std::vector<std::byte> current;
  auto next = [&]() -> Result<std::span<const std::byte>> {
    TRY_ASSIGN(current, queue.Pop(std::move(current)));
    return std::span<const std::byte>(current);
  };
  TRY_ASSIGN(auto reader, TarReader::Open(next, options.limits));
  TRY_ASSIGN(TreeWriter writer, TreeWriter::Open(root, options.driver));
  TarEntry entry;
  while (true) {
    TRY_ASSIGN(bool more, reader->Next(entry));
    if (!more) break;
    TRY(WriteEntry(*reader, writer, entry, result));
  }
  // Behind the archive's end mark there is padding, and the digest covers it.
  while (true) {
    TRY_ASSIGN(auto rest, next());
    if (rest.empty()) break;
  }
  TRY(writer.Finish());
  result.entries = reader->entries();
  result.leftovers = {writer.implicit_directories(), writer.missing_links(), writer.opaque_root(),
                      writer.implicit_root()};
  return {};
}

}  // namespace

Result<UnpackResult> UnpackLayer(ByteSource& source, const std::string& root,
                                 const UnpackOptions& options) {
  UnpackResult result;
  Feeder feeder(source, options);
  std::thread thread([&] { feeder.Run(); });
  Status status = WriteTree(feeder.queue(), root, options, result);
  feeder.queue().Abandon();
  thread.join();
  // Where the digest is known it decides what the error is: a damaged download is no hostile
  // archive. A full disk stays one, and nobody reads on for an archive whose digest nobody knows.
  bool disk =
      !status && status.error().err() != 0 && status.error().code() != Code::kInvalidArgument;
  if (status || (!disk && !options.expected_blob.empty())) {
    Status drained = feeder.source().Drain();
    if (!drained) return std::move(drained).error();
    result.blob = feeder.source().Finish();
    result.blob_size = feeder.source().count();
    if (!options.expected_blob.empty() && result.blob != options.expected_blob)
      return MakeError(Code::kDataLoss, "wrong digest: the content is {}, not {}",
                       result.blob.text(), options.expected_blob.text());
  }
  if (!status) return std::move(status).error();
  result.diff_id = feeder.diff().Finish();
  if (!options.expected_diff_id.empty() && result.diff_id != options.expected_diff_id)
    return MakeError(
        Code::kDataLoss,
        "wrong digest: unpacked, the content is {}, but the image's configuration says {}",
        result.diff_id.text(), options.expected_diff_id.text());
  return result;
}

}  // namespace holt::image::layer
