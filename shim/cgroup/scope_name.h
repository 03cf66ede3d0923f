#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

// linux.cgroupsPath as runc and crun read it for the systemd manager: "slice:prefix:name".
namespace holt::shim {

// A scope of systemd's.
struct ScopeName {
  std::string slice;  // "machine.slice"; the root is "-.slice"
  std::string unit;   // "libpod-1234.scope"
  // Its cgroup below the hierarchy, "/machine.slice/libpod-1234.scope": a place, as ResolvePlace()
  // gives it.
  std::string place;
  bool operator==(const ScopeName&) const = default;
};

// "slice:prefix:name" is the scope prefix-name.scope (without a prefix, name.scope) in `slice`; no
// slice is system.slice. An empty path is holt-<id>.scope there. Errors name the property.
base::Result<ScopeName> ParseScopeName(std::string_view cgroups_path, std::string_view id);

// Where a slice is: "a-b.slice" is "/a.slice/a-b.slice", "-.slice" is "". systemd.slice(5).
base::Result<std::string> ExpandSlice(std::string_view slice);

// The scope whose cgroup is at `place`; the other way around.
ScopeName ScopeAt(std::string_view place);

}  // namespace holt::shim
