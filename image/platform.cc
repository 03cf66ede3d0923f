#include "image/platform.h"

#include <sys/utsname.h>

#include <algorithm>

#include "base/log.h"

namespace holt::image {

using base::Code;
using base::MakeError;
using base::Result;

namespace {

constexpr size_t kMostListed = 20;

std::string Canonical(std::string_view architecture) {
  if (architecture == "x86_64" || architecture == "x86-64") return "amd64";
  if (architecture == "aarch64") return "arm64";
  return std::string(architecture);
}

// Go's default variants, which images write or leave out as they like.
std::string Variant(const oci::Platform& platform) {
  if (platform.architecture == "arm64" && platform.variant == "v8") return "";
  if (platform.architecture == "amd64" && platform.variant == "v1") return "";
  if (platform.architecture == "arm" && platform.variant.empty()) return "v7";
  return platform.variant;
}

bool IsWord(std::string_view text) {
  return !text.empty() && text.size() <= 32 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
  });
}

}  // namespace

std::string HostPlatform() {
  utsname name{};
  if (uname(&name) != 0) return "linux/amd64";
  return "linux/" + Canonical(name.machine);
}

Result<oci::Platform> ParsePlatform(std::string_view text) {
  std::string host = HostPlatform();
  std::string_view rest = text.empty() ? std::string_view(host) : text;
  std::vector<std::string> parts;
  while (true) {
    size_t slash = rest.find('/');
    parts.emplace_back(rest.substr(0, slash));
    if (slash == std::string_view::npos) break;
    rest.remove_prefix(slash + 1);
  }
  if (parts.size() == 1) parts.insert(parts.begin(), "linux");
  if (parts.size() > 3 || !std::all_of(parts.begin(), parts.end(), IsWord))
    return MakeError(Code::kInvalidArgument,
                     "\"{}\" is not a platform (write OS/ARCHITECTURE[/VARIANT]: {})",
                     base::log::Sanitize(text.substr(0, 100)), host);
  oci::Platform platform;
  platform.os = parts[0];
  platform.architecture = Canonical(parts[1]);
  if (parts.size() == 3) platform.variant = parts[2];
  return platform;
}

std::string PlatformText(const oci::Platform& platform) {
  std::string text = platform.os + "/" + platform.architecture;
  if (std::string variant = Variant(platform); !variant.empty()) text += "/" + variant;
  return base::log::Sanitize(text.substr(0, 100));
}

bool PlatformFits(const oci::Platform& wanted, const oci::Platform& offered) {
  if (offered.os != wanted.os || Canonical(offered.architecture) != wanted.architecture)
    return false;
  oci::Platform theirs = offered;
  theirs.architecture = wanted.architecture;
  return Variant(theirs) == Variant(wanted);
}

Result<oci::Descriptor> SelectManifest(const oci::ImageIndex& index, const oci::Platform& wanted) {
  std::vector<std::string> there;
  for (const oci::Descriptor& descriptor : index.manifests) {
    if (!descriptor.platform) {
      // An index of one image, as builders of single images write it, names no platform.
      if (index.manifests.size() == 1) return descriptor;
      continue;
    }
    if (PlatformFits(wanted, *descriptor.platform)) return descriptor;
    if (descriptor.platform->os != "unknown") there.push_back(PlatformText(*descriptor.platform));
  }
  std::sort(there.begin(), there.end());
  there.erase(std::unique(there.begin(), there.end()), there.end());
  size_t count = there.size();
  if (count > kMostListed) there.resize(kMostListed);
  return MakeError(Code::kNotFound, "there is no image for {} under this name; there is: {}{}",
                   PlatformText(wanted), count ? fmt::format("{}", fmt::join(there, ", ")) : "none",
                   count > kMostListed ? ", …" : "");
}

}  // namespace holt::image
