#pragma once

#include <sys/stat.h>

#include <string>

#include "base/result.h"

namespace holt::image::layer {

// Copies the content of a regular file into an empty one: shares the blocks where the file system
// can (FICLONE), else copies in the kernel and keeps holes.
base::Status CopyContent(int from, int to, uint64_t size);

// Sets owner, mode, extended attributes (those an image may bring) and times of `to` as `from` has
// them. Both are descriptors opened with O_PATH or better, of entries that are no symbolic links
// unless `st` says so.
base::Status CopyMetadata(int from, int to, const struct stat& st);

}  // namespace holt::image::layer
