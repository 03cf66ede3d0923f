#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

// Names inside a tar, and what the layer format means by some of them. The names are an attacker's:
// these checks make the error readable; what keeps writes inside the layer is openat2 in
// TreeWriter.
namespace holt::image::layer {

// "./a//b/" becomes "a/b", "." and "" become "". Absolute names, "..", names longer than the limits
// of Linux and control of the terminal are refused.
base::Result<std::string> NormalizeEntryPath(std::string_view name, size_t max_path);

// A name as it may be shown to people: cut, and without control characters.
std::string ShownName(std::string_view name);

struct SplitPath {
  std::string parent;  // "" for the root
  std::string name;
};
SplitPath Split(std::string_view path);

enum class WhiteoutKind {
  kNone,
  kFile,      // .wh.<name>: hides `target` of the layers below
  kOpaque,    // .wh..wh..opq: hides all the directory has in the layers below
  kMetadata,  // other .wh..wh.* names: aufs' own, meaningless here
};

struct Whiteout {
  WhiteoutKind kind = WhiteoutKind::kNone;
  std::string target;
};

// Looks at the last component. A whiteout of nothing, "." or ".." is an error.
base::Result<Whiteout> ParseWhiteout(std::string_view name);

// Does `path` lie in a directory of aufs' own (.wh..wh.plnk), which means nothing here? An error if
// one of its directories has the name of a whiteout: with Driver::kNative it would become one.
base::Result<bool> IsUnderMetadata(std::string_view path);

}  // namespace holt::image::layer
