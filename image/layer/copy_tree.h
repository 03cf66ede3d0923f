#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace holt::image::layer {

// Copies what a union of `layers` (their roots, bottom first, in the form of Driver::kNative) shows
// into the empty directory `target`: later layers replace and hide what earlier ones have. Owners,
// modes, extended attributes, times, holes and hard links within a layer stay.
base::Status CopyLayers(const std::vector<std::string>& layers, const std::string& target);

}  // namespace holt::image::layer
