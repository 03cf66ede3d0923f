#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/spawn.h"
#include "oci/runtime_spec.h"

namespace holt::oci {

// Runs hooks one after the other, in order, with exactly their arguments and environment and
// `state_json` on their standard input; `where` says in which directory, namespaces and so on
// (config.md, "POSIX-platform Hooks"). Blocks. The first that cannot be run, ends otherwise than
// with 0 or outlives its timeout (it and its process group are killed) is an error that names it as
// `name`[i], its path, how it ended and the end of what it wrote on standard error; those after it
// are not run.
base::Status RunHooks(const std::vector<Hook>& hooks, const std::string& name,
                      const std::string& state_json, const base::SpawnOptions& where = {});

// The same, but whatever fails goes to `warn` and the others run, too.
void RunHooksAll(const std::vector<Hook>& hooks, const std::string& name,
                 const std::string& state_json, const base::SpawnOptions& where,
                 const std::function<void(const std::string&)>& warn);

}  // namespace holt::oci
