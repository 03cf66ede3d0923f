// holt version.
#include "base/file.h"
#include "shim/cli/subcommands.h"

namespace holt::shim::cli {

Subcommand VersionCommand() {
  return {
      .name = "version",
      .group = Group::kHost,
      .summary = "Print the versions of holt and of the runtime specification.",
      .define = [](Flags&) -> Body {
        return [](const Global&) -> base::Result<int> {
          TRY(base::WriteFd(1, "holt version " HOLT_VERSION "\nspec: 1.3.0\n"));
          return 0;
        };
      },
  };
}

}  // namespace holt::shim::cli
