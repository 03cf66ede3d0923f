#include "shim/cgroup/scope_name.h"

#include <algorithm>

namespace holt::shim {
namespace {

using base::Code;
using base::MakeError;
using base::Result;

constexpr char kProperty[] = "linux.cgroupsPath";
constexpr char kDefaultSlice[] = "system.slice";
constexpr char kRootSlice[] = "-.slice";
constexpr std::string_view kSlice = ".slice";
constexpr std::string_view kScope = ".scope";
constexpr size_t kMaxUnit = 255;  // systemd.unit(5)

bool IsUnitCharacter(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
         std::string_view(":-_.\\").find(c) != std::string_view::npos;
}

// The part of a unit's name in front of its type. "@" would make it an instance of a template.
bool IsUnitName(std::string_view name) {
  return !name.empty() && name.size() + kScope.size() <= kMaxUnit && name[0] != '.' &&
         std::all_of(name.begin(), name.end(), IsUnitCharacter);
}

// As systemd-escape(1).
std::string Escape(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (IsUnitCharacter(c) && c != '\\')
      out += c;
    else
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
  return out;
}

base::Error NoSlice(std::string_view slice) {
  return MakeError(Code::kInvalidArgument, "{}: \"{}\" is no name of a slice", kProperty,
                   slice.substr(0, 80));
}

}  // namespace

Result<std::string> ExpandSlice(std::string_view slice) {
  if (slice == kRootSlice) return std::string();
  std::string_view name = slice;
  if (!name.ends_with(kSlice)) return NoSlice(slice);
  name.remove_suffix(kSlice.size());
  if (!IsUnitName(name) || name.starts_with('-') || name.ends_with('-') ||
      name.find("--") != std::string_view::npos)
    return NoSlice(slice);
  std::string path;
  for (size_t at = 0; at != std::string_view::npos;) {
    at = name.find('-', at + 1);
    path += fmt::format("/{}{}", name.substr(0, at), kSlice);
  }
  return path;
}

Result<ScopeName> ParseScopeName(std::string_view cgroups_path, std::string_view id) {
  ScopeName out{.slice = kDefaultSlice, .unit = "holt-" + Escape(id), .place = ""};
  if (!cgroups_path.empty()) {
    size_t first = cgroups_path.find(':');
    size_t second = first == std::string_view::npos ? first : cgroups_path.find(':', first + 1);
    if (second == std::string_view::npos ||
        cgroups_path.find(':', second + 1) != std::string_view::npos)
      return MakeError(Code::kInvalidArgument,
                       "{}: \"{}\" is not of the form slice:prefix:name, as the systemd manager "
                       "(--systemd-cgroup) needs it",
                       kProperty, cgroups_path.substr(0, 80));
    std::string_view slice = cgroups_path.substr(0, first);
    std::string_view prefix = cgroups_path.substr(first + 1, second - first - 1);
    std::string_view name = cgroups_path.substr(second + 1);
    if (name.ends_with(kSlice))
      return MakeError(Code::kUnsupported,
                       "{}: \"{}\" is a slice: holt makes scopes only, a slice has no processes",
                       kProperty, name.substr(0, 80));
    if (name.empty())
      return MakeError(Code::kInvalidArgument, "{}: \"{}\" has no name", kProperty,
                       cgroups_path.substr(0, 80));
    if (!slice.empty()) out.slice = slice;
    out.unit = prefix.empty() ? std::string(name) : fmt::format("{}-{}", prefix, name);
    if (out.unit.ends_with(kScope)) out.unit.resize(out.unit.size() - kScope.size());
  }
  if (!IsUnitName(out.unit))
    return MakeError(Code::kInvalidArgument, "{}: \"{}\" is no name of a scope", kProperty,
                     out.unit.substr(0, 80));
  out.unit += kScope;
  TRY_ASSIGN(out.place, ExpandSlice(out.slice));
  out.place += "/" + out.unit;
  return out;
}

ScopeName ScopeAt(std::string_view place) {
  size_t last = place.rfind('/');
  std::string_view parent = place.substr(0, last);
  std::string_view slice = parent.substr(parent.rfind('/') + 1);
  return {.slice = parent.empty() ? kRootSlice : std::string(slice),
          .unit = std::string(place.substr(last + 1)),
          .place = std::string(place)};
}

}  // namespace holt::shim
