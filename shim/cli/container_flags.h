#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "shim/cli/flags.h"
#include "shim/run/convert.h"
#include "shim/run/volumes.h"

namespace holt::shim::cli {

// The flags of `holt run` that say what the container is like.
struct ContainerFlags {
  ContainerOptions options;  // but for id, args and terminal, which the command fills in
  std::vector<Volume> volumes;
  std::vector<std::string> env_files;
  std::vector<std::string> env;
  std::string network;               // none, passt; empty: passt where there is one
  std::vector<std::string> publish;  // as network::ParsePublished takes them

  void Define(Flags& flags);
  // What only makes sense when all flags are known: order of -e and --env-file, sources of volumes.
  base::Status Finish();
};

}  // namespace holt::shim::cli
