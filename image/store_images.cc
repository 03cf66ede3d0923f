#include <stdio.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "image/store.h"
#include "image/store_json.h"

namespace holt::image {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

constexpr size_t kShortestId = 4;

bool IsHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::vector<const StoredImage*> MatchName(const std::vector<StoredImage>& images,
                                          const Reference& reference) {
  std::vector<const StoredImage*> found;
  std::string canonical = reference.ToString();
  for (const StoredImage& image : images) {
    bool match = image.name == canonical;
    // "name@digest" also finds what was pulled by tag, as long as the content is that one.
    if (!match && !reference.digest.empty() && !image.name.empty()) {
      auto stored = Reference::Parse(image.name);
      match = stored && stored->Name() == reference.Name() &&
              (image.digest == reference.digest || image.manifest_digest == reference.digest);
    }
    if (match) found.push_back(&image);
  }
  return found;
}

// One id may have several names: an ambiguity is only one of ids.
Result<StoredImage> MatchId(const std::vector<StoredImage>& images, std::string_view hex,
                            std::string_view text) {
  const StoredImage* found = nullptr;
  for (const StoredImage& image : images) {
    if (!std::string_view(image.id).substr(7).starts_with(hex)) continue;
    if (found && found->id != image.id)
      return MakeError(Code::kInvalidArgument,
                       "\"{}\" is the beginning of several image ids; write more of it", text);
    if (!found) found = &image;
  }
  if (!found) return MakeError(Code::kNotFound, "no such id");
  return *found;
}

}  // namespace

std::string DisplayName(const StoredImage& image) {
  return image.name.empty() ? image.id.substr(7, 12) : image.name;
}

std::string Store::ImageFile(const StoredImage& image) const {
  Digest key = Sha256(image.name.empty() ? image.id : image.name);
  return path_ + "/images/" + key.hex() + ".json";
}

Result<std::vector<StoredImage>> Store::ListImages() const {
  TRY_ASSIGN(auto names, ListNames(path_ + "/images"));
  std::vector<StoredImage> images;
  for (const std::string& name : names) {
    std::string path = path_ + "/images/" + name;
    auto text = base::ReadFile(path, kMaxRecordBytes);
    if (!text && text.error().err() == ENOENT) continue;  // removed meanwhile
    if (!text) return std::move(text).error();
    auto image = ParseRecord<StoredImage>(*text, path);
    if (!image || !Digest::Parse(image->id) || !Digest::Parse(image->manifest_digest)) {
      base::log::Warning("image store: {} is damaged and left out; remove it", path);
      continue;
    }
    images.push_back(std::move(*image));
  }
  std::sort(images.begin(), images.end(), [](const StoredImage& a, const StoredImage& b) {
    return std::tie(a.name, a.id) < std::tie(b.name, b.id);
  });
  return images;
}

Result<StoredImage> Store::FindImage(std::string_view text) const {
  TRY_ASSIGN(auto images, ListImages());
  std::string_view hex = text.starts_with("sha256:") ? text.substr(7) : text;
  bool id_form = IsHex(hex) && hex.size() >= kShortestId && hex.size() <= 64;
  auto reference = Reference::Parse(text);
  if (reference) {
    auto found = MatchName(images, *reference);
    bool bare = text.find('/') == std::string_view::npos;
    if (found.empty() && bare) {
      // The name podman and buildah give to images made on this machine.
      auto local = Reference::Parse("localhost/" + std::string(text));
      if (local) found = MatchName(images, *local);
    }
    if (!found.empty()) return *found.front();
  }
  if (id_form) {
    auto image = MatchId(images, hex, text);
    if (image || image.error().code() != Code::kNotFound) return image;
  }
  if (!reference && !id_form) return std::move(reference).error();
  return MakeError(Code::kNotFound, "no image \"{}\" in the store {}; fetch it with: holt pull {}",
                   text, path_, text);
}

Status Store::PutImage(const StoredImage& image) {
  return WriteAside(path_, ImageFile(image), WriteRecord(image));
}

Status Store::RemoveImage(const StoredImage& image) {
  if (unlink(ImageFile(image).c_str()) != 0 && errno != ENOENT)
    return HOLT_ERRNO("remove image {}", DisplayName(image));
  return {};
}

Result<oci::ImageConfig> Store::ReadConfig(const StoredImage& image) {
  TRY_ASSIGN(Digest id, Digest::Parse(image.id));
  TRY_ASSIGN_CONTEXT(std::string text, ReadBlob(id, oci::kMaxImageConfigBytes),
                     "image " + DisplayName(image));
  return oci::ParseImageConfig(text);
}

}  // namespace holt::image
