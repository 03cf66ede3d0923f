#pragma once

#include <memory>

#include "image/assemble.h"
#include "image/registry/registry.h"

namespace holt::image::registry {

// A layer as a stream, while a thread downloads it into the store's ingest/, where a cut or killed
// download stays to be resumed. One process or thread at a time downloads a blob; others wait here.
// All references must outlive it.
base::Result<std::unique_ptr<LayerSource>> OpenLayer(Registry& registry, Store& store,
                                                     const LayerPlan& layer,
                                                     const Cancelled& cancelled);

}  // namespace holt::image::registry
