#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "oci/mount_options.h"
#include "oci/runtime_spec.h"
#include "oci/unsupported.h"

// Whatever parses must serialise, parse again and serialise to the same text.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // SAFETY: bytes seen as characters.
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto config = holt::oci::ParseConfig(text);
  if (!config) return config.error().message().empty() ? (abort(), 0) : 0;
  std::string first = SerializeConfig(*config);
  auto again = holt::oci::ParseConfig(first);
  if (!again || SerializeConfig(*again) != first) abort();
  for (const auto& mount : config->mounts) (void)ParseMountOptions(mount, "mounts");
  (void)CheckSupported(*config);
  return 0;
}
