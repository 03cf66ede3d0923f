#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "image/platform.h"
#include "image/reference.h"

// What parses is written in canonical form, which parses to the same and has nothing that a path, a
// URL or a header would take for its own.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // SAFETY: chars view of the fuzzer's bytes, read only.
  std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)holt::image::ParsePlatform(text);
  auto reference = holt::image::Reference::Parse(text);
  if (!reference) return 0;
  std::string canonical = reference->ToString();
  for (char c : canonical)
    if (c <= ' ' || c >= 0x7f || c == '?' || c == '#' || c == '%' || c == '\\' || c == '"')
      std::abort();
  if (reference->Name().find("..") != std::string::npos ||
      canonical.find("//") != std::string::npos)
    std::abort();
  auto again = holt::image::Reference::Parse(canonical);
  if (!again || again->ToString() != canonical || again->ManifestKey() != reference->ManifestKey())
    std::abort();
  return 0;
}
