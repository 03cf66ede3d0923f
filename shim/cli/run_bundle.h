#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "shim/cli/command.h"
#include "shim/cli/create.h"

// runc's `run`, which BuildKit calls: `holt run --bundle DIR [FLAGS] ID`.
namespace holt::shim::cli {

struct RunBundleFlags {
  CreateFlags create;
  bool keep = false;

  void Define(Flags& flags);
};

// kInvalidArgument when flags of `run IMAGE` and of `run --bundle` are mixed. `given` as
// Flags::given().
base::Status CheckRunForm(const std::vector<std::string>& given, bool bundle);

// Creates and starts the container. In the foreground it stays until the container has ended, whose
// status is the result, and deletes it unless --keep was given.
base::Result<int> RunBundle(const RunBundleFlags& flags, bool detach, const Global& global);

}  // namespace holt::shim::cli
