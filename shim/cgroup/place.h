#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

// Where on the host a sandbox's cgroup is.
namespace holt::shim {

// Where cgroups are mounted.
inline constexpr char kHierarchy[] = "/sys/fs/cgroup";

// Is cgroup v2, and nothing else, mounted there? On hosts with v1, or both (hybrid), the
// controllers are v1's.
bool HostHasCgroup2();

// The calling process's own cgroup, "/user.slice/session-1.scope".
base::Result<std::string> OwnCgroup();

// linux.cgroupsPath as a path below the hierarchy, as runc's cgroupfs manager reads it: absolute;
// or relative, to the parent of the runtime's own cgroup `own`; or empty, /holt/<id>. `..` never
// leads out. The result begins with a slash and is not "/". Errors name the property.
base::Result<std::string> ResolvePlace(std::string_view cgroups_path, std::string_view id,
                                       std::string_view own);

// Is this a path that ResolvePlace gives? For what a file says that was written earlier.
bool IsPlace(std::string_view place);

}  // namespace holt::shim
