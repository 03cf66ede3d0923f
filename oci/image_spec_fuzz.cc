#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "oci/image_spec.h"

// Whatever parses must be written and parse again to as many layers.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // SAFETY: chars view of the fuzzer's bytes, read only.
  std::string_view text(reinterpret_cast<const char*>(data), size);
  for (std::string_view type : {"", holt::oci::kOciManifest, holt::oci::kDockerIndex}) {
    auto parsed = holt::oci::ParseManifest(text, type);
    if (!parsed) continue;
    if (auto* manifest = std::get_if<holt::oci::ImageManifest>(&*parsed)) {
      auto again = holt::oci::ParseManifest(holt::oci::WriteManifest(*manifest), "");
      if (manifest->layers.empty()) continue;  // an empty list is left out when written
      if (!again ||
          std::get<holt::oci::ImageManifest>(*again).layers.size() != manifest->layers.size())
        std::abort();
    }
  }
  if (auto config = holt::oci::ParseImageConfig(text)) {
    auto again = holt::oci::ParseImageConfig(holt::oci::WriteImageConfig(*config));
    if (!again || again->rootfs.diff_ids != config->rootfs.diff_ids) std::abort();
  }
  return 0;
}
