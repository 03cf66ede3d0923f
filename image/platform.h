#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "oci/image_spec.h"

namespace holt::image {

// "linux/amd64" of the machine holt runs on.
std::string HostPlatform();

// "linux/arm/v7" taken apart and written as images write it: x86_64 is amd64, aarch64 arm64. Empty
// text is the host's.
base::Result<oci::Platform> ParsePlatform(std::string_view text);
std::string PlatformText(const oci::Platform& platform);

// Is an image for `offered` one that `wanted` asks for? A variant nobody asked for is accepted
// where there is one main variant (arm64 and its v8).
bool PlatformFits(const oci::Platform& wanted, const oci::Platform& offered);

// The manifest of an index for this platform, nested indexes and attestations (platform unknown)
// among the candidates left out. The error lists what there is.
base::Result<oci::Descriptor> SelectManifest(const oci::ImageIndex& index,
                                             const oci::Platform& wanted);

}  // namespace holt::image
