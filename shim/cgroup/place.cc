#include "shim/cgroup/place.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include <climits>
#include <filesystem>

#include "base/file.h"

namespace holt::shim {
namespace {

using base::Code;
using base::MakeError;

constexpr char kProperty[] = "linux.cgroupsPath";

}  // namespace

bool HostHasCgroup2() {
  struct statfs fs {};
  return statfs(kHierarchy, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

base::Result<std::string> OwnCgroup() {
  TRY_ASSIGN(std::string text, base::ReadFile("/proc/self/cgroup", 64 << 10));
  // cgroups(7): "0::PATH" is v2's line.
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = std::string_view(text).substr(at, end - at);
    if (line.starts_with("0::/")) return std::string(line.substr(3));
    at = end + 1;
  }
  return base::Error(Code::kUnsupported, "/proc/self/cgroup: this process is in no cgroup v2");
}

base::Result<std::string> ResolvePlace(std::string_view cgroups_path, std::string_view id,
                                       std::string_view own) {
  if (cgroups_path.empty()) return fmt::format("/holt/{}", id);
  for (unsigned char c : cgroups_path)
    if (c < 0x20 || c == 0x7f)
      return MakeError(Code::kInvalidArgument, "{}: has a control character", kProperty);
  // Rooted first, so that `..` ends at the root.
  namespace fs = std::filesystem;
  std::string cleaned = fs::path("/" + std::string(cgroups_path)).lexically_normal().string();
  if (cgroups_path[0] != '/')
    cleaned = fs::path(std::string(own)).parent_path().string() + "/" + cleaned;
  cleaned = fs::path("/" + cleaned).lexically_normal().string();
  while (cleaned.size() > 1 && cleaned.back() == '/') cleaned.pop_back();
  if (cleaned == "/" || !IsPlace(cleaned))
    return MakeError(Code::kInvalidArgument, "{}: \"{}\" is no place for a cgroup", kProperty,
                     cgroups_path.substr(0, 80));
  return cleaned;
}

bool IsPlace(std::string_view place) {
  if (place.size() < 2 || place[0] != '/' || place.size() > PATH_MAX - 256) return false;
  for (size_t at = 1; at <= place.size();) {
    size_t end = std::min(place.find('/', at), place.size());
    std::string_view name = place.substr(at, end - at);
    if (name.empty() || name == "." || name == ".." || name.size() > NAME_MAX) return false;
    at = end + 1;
  }
  return place.find('\0') == std::string_view::npos && place.find('\n') == std::string_view::npos;
}

}  // namespace holt::shim
