#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "image/archive_tree.h"
#include "image/assemble.h"
#include "image/import.h"

// How the kinds of archive become plans of images. Each plan opens its layers from `tree`, which
// must outlive it.
namespace holt::image {

base::Result<std::vector<ImagePlan>> PlanOciLayout(const ArchiveTree& tree,
                                                   const ImportOptions& options);
base::Result<std::vector<ImagePlan>> PlanDockerArchive(const ArchiveTree& tree,
                                                       const ImportOptions& options);

// A layer that is a file of the archive.
void OpenFromTree(const ArchiveTree& tree, const std::string& name, Progress* progress,
                  LayerPlan& layer);

// Canonical form of a name that an archive carries; empty if it is none.
std::string ArchiveName(std::string_view text);

}  // namespace holt::image
