#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "shim/monitor/timeline.h"

namespace holt::shim::cli {

// Writes the steps of this process and of the monitor (its memfd) as JSON to `path`, and as a
// picture to `path`.svg; a `path` that ends in .svg gets only the picture.
base::Status WriteTimelineFile(const std::string& path, const Timeline& own,
                               const base::UniqueFd& monitor);

}  // namespace holt::shim::cli
