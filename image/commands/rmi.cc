#include "image/commands/commands.h"
#include "image/gc.h"
#include "image/reference.h"
#include "image/rootfs.h"

namespace holt::image::commands {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

// Did `text` find the image by one of its names, and not by its id?
bool FoundByName(const std::string& text, const StoredImage& image) {
  for (const std::string& candidate : {text, "localhost/" + text}) {
    auto wanted = Reference::Parse(candidate);
    auto stored = Reference::Parse(image.name);
    if (wanted && stored && wanted->Name() == stored->Name()) return true;
  }
  return false;
}

// The records that go: one name, or all names of an id.
Result<std::vector<StoredImage>> Victims(const Store& store, const std::string& text, bool force) {
  TRY_ASSIGN(StoredImage image, store.FindImage(text));
  if (FoundByName(text, image)) return std::vector<StoredImage>{image};
  TRY_ASSIGN(auto all, store.ListImages());
  std::vector<StoredImage> victims;
  std::string names;
  for (const StoredImage& other : all) {
    if (other.id != image.id) continue;
    victims.push_back(other);
    names += (names.empty() ? "" : ", ") + DisplayName(other);
  }
  if (victims.size() > 1 && !force)
    return MakeError(Code::kFailedPrecondition,
                     "image {} has several names ({}); remove them by name, or all of them with -f",
                     text, names);
  return victims;
}

// The container that would lose its image, if there is one.
Status CheckUnused(Store& store, const std::string& text, const std::vector<StoredImage>& victims) {
  TRY_ASSIGN(auto all, store.ListImages());
  size_t names = 0;
  for (const StoredImage& other : all) names += other.id == victims.front().id;
  if (names > victims.size()) return {};
  TRY_ASSIGN(auto leases, ListLeases(store));
  for (const Lease& lease : leases)
    if (lease.alive && lease.image_id == victims.front().id)
      return MakeError(
          Code::kFailedPrecondition,
          "image {} is used by the container {}; remove that first (holt rm), or use -f to forget "
          "the image's name only",
          text, lease.container_id);
  return {};
}

Status RemoveOne(Store& store, const std::string& text, const RmiCommand& command, const Io& io) {
  TRY_ASSIGN(auto victims, Victims(store, text, command.force));
  if (!command.force) TRY(CheckUnused(store, text, victims));
  for (const StoredImage& image : victims) {
    TRY(store.RemoveImage(image));
    fmt::print(io.out, "Untagged: {}\n", DisplayName(image));
  }
  TRY_ASSIGN(auto left, store.ListImages());
  for (const StoredImage& image : left)
    if (image.id == victims.front().id) return {};
  fmt::print(io.out, "Deleted: {}\n", victims.front().id);
  return {};
}

}  // namespace

Status RunRmi(const RmiCommand& command, const Io& io) {
  TRY_ASSIGN(auto store, Store::Open(command.common.store));
  for (const std::string& text : command.images) TRY(RemoveOne(*store, text, command, io));
  // What the images alone used goes now, unless a pull runs: then with the next gc.
  auto collected = CollectGarbage(*store, {});
  if (collected) return {};
  if (collected.error().code() != Code::kDeadlineExceeded) return std::move(collected).error();
  fmt::print(io.err, "note: the store is in use, the layers go with the next holt gc\n");
  return {};
}

}  // namespace holt::image::commands
