#pragma once

#include "base/result.h"

namespace holt::guest_agent {

// Copies what is in the directory `from` into the directory `to`, as `tmpcopyup` asks: files,
// directories, links, nodes, with owners, modes, times and extended attributes. Both are a
// container's: no link of theirs is followed, nothing outside of the two is touched, and a tree
// deeper than 200 directories is an error.
base::Status CopyTree(int from, int to);

}  // namespace holt::guest_agent
