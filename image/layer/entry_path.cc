#include "image/layer/entry_path.h"

#include "base/log.h"

namespace holt::image::layer {

using base::Code;
using base::MakeError;
using base::Result;

namespace {

constexpr size_t kMaxComponent = 255;  // NAME_MAX
constexpr std::string_view kPrefix = ".wh.";
constexpr std::string_view kMetadataPrefix = ".wh..wh.";
constexpr std::string_view kOpaqueName = ".wh..wh..opq";

}  // namespace

std::string ShownName(std::string_view name) {
  std::string shown = base::log::Sanitize(name.substr(0, 200));
  return name.size() > 200 ? shown + "…" : shown;
}

Result<std::string> NormalizeEntryPath(std::string_view name, size_t max_path) {
  if (name.starts_with('/'))
    return MakeError(Code::kInvalidArgument, "hostile archive: \"{}\" is an absolute path",
                     ShownName(name));
  if (name.size() > max_path)
    return MakeError(Code::kInvalidArgument,
                     "hostile archive: a path of {} bytes, more than {}: \"{}\"", name.size(),
                     max_path, ShownName(name));
  std::string path;
  path.reserve(name.size());
  size_t start = 0;
  while (start <= name.size()) {
    size_t slash = name.find('/', start);
    if (slash == std::string_view::npos) slash = name.size();
    std::string_view component = name.substr(start, slash - start);
    start = slash + 1;
    if (component.empty() || component == ".") continue;
    if (component == "..")
      return MakeError(Code::kInvalidArgument, "hostile archive: \"{}\" leaves the layer by \"..\"",
                       ShownName(name));
    if (component.size() > kMaxComponent)
      return MakeError(Code::kInvalidArgument,
                       "archive: a name of {} bytes, Linux allows {}: \"{}\"", component.size(),
                       kMaxComponent, ShownName(component));
    if (!path.empty()) path += '/';
    path += component;
  }
  return path;
}

SplitPath Split(std::string_view path) {
  size_t slash = path.find_last_of('/');
  if (slash == std::string_view::npos) return {"", std::string(path)};
  return {std::string(path.substr(0, slash)), std::string(path.substr(slash + 1))};
}

Result<Whiteout> ParseWhiteout(std::string_view name) {
  if (!name.starts_with(kPrefix)) return Whiteout{};
  if (name == kOpaqueName) return Whiteout{WhiteoutKind::kOpaque, ""};
  if (name.starts_with(kMetadataPrefix)) return Whiteout{WhiteoutKind::kMetadata, ""};
  std::string_view target = name.substr(kPrefix.size());
  if (target.empty() || target == "." || target == "..")
    return MakeError(Code::kInvalidArgument, "hostile archive: \"{}\" is a whiteout of \"{}\"",
                     ShownName(name), target);
  return Whiteout{WhiteoutKind::kFile, std::string(target)};
}

Result<bool> IsUnderMetadata(std::string_view path) {
  for (size_t slash = path.find('/'); slash != std::string_view::npos;) {
    std::string_view component = path.substr(0, slash);
    path.remove_prefix(slash + 1);
    slash = path.find('/');
    if (component.starts_with(kMetadataPrefix)) return true;
    if (component.starts_with(kPrefix))
      return MakeError(Code::kInvalidArgument,
                       "hostile archive: \"{}\" is the name of a whiteout and has entries under it",
                       ShownName(component));
  }
  return false;
}

}  // namespace holt::image::layer
