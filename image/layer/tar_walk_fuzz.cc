#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>

#include "image/layer/decompress.h"
#include "image/layer/entry_path.h"
#include "image/layer/tar_walk.h"

namespace {

using holt::base::Result;
using namespace holt::image::layer;

class MemorySource : public ByteSource {
 public:
  explicit MemorySource(std::span<const std::byte> bytes) : bytes_(bytes) {}
  Result<size_t> Read(std::span<std::byte> buffer) override {
    size_t n = std::min(buffer.size(), bytes_.size());
    if (n > 0) std::memcpy(buffer.data(), bytes_.data(), n);
    bytes_ = bytes_.subspan(n);
    return n;
  }

 private:
  std::span<const std::byte> bytes_;
};

void Require(bool ok) {
  if (!ok) std::abort();
}

// What every writer of files counts on.
void CheckPath(const std::string& path) {
  Require(path.empty() || (path.front() != '/' && path.back() != '/'));
  std::string framed = "/" + path + "/";
  Require(framed.find("/../") == std::string::npos);
  Require(framed.find("/./") == std::string::npos);
  Require(path.find("//") == std::string::npos);
  Require(path.find('\0') == std::string::npos);
}

void Walk(ByteSource& source) {
  constexpr size_t kMostBytes = 4 << 20;
  auto decompressor = Decompressor::Open(source);
  if (!decompressor) return;
  UnpackLimits limits;
  limits.max_entries = 2000;
  size_t total = 0;
  auto next = [&]() -> Result<std::span<const std::byte>> {
    auto bytes = (*decompressor)->Next();
    if (bytes && (total += bytes->size()) > kMostBytes) return std::span<const std::byte>();
    return bytes;
  };
  auto reader = TarReader::Open(next, limits);
  if (!reader) return;
  TarEntry entry;
  uint64_t content = 0;
  while (true) {
    auto more = (*reader)->Next(entry);
    if (!more || !*more) return;
    CheckPath(entry.path);
    if (entry.type == EntryType::kHardLink) CheckPath(entry.link);
    if (entry.type == EntryType::kSymlink) Require(!entry.link.empty());
    Require((entry.metadata.mode & ~07777U) == 0);
    SplitPath split = Split(entry.path);
    if (auto whiteout = ParseWhiteout(split.name);
        whiteout && whiteout->kind == WhiteoutKind::kFile) {
      Require(!whiteout->target.empty() && whiteout->target != "." && whiteout->target != "..");
      Require(whiteout->target.find('/') == std::string::npos);
    }
    for (const auto& [name, value] : entry.metadata.xattrs)
      Require(name.find("overlay") == std::string::npos || name.starts_with("user."));
    while (content < kMostBytes) {
      uint64_t offset = 0;
      auto bytes = (*reader)->Data(offset);
      if (!bytes) return;
      if (bytes->empty()) break;
      content += bytes->size();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Utf8Locale locale;
  // SAFETY: bytes seen as bytes.
  MemorySource source({reinterpret_cast<const std::byte*>(data), size});
  Walk(source);
  return 0;
}
