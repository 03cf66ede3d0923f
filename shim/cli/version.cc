// holt version, holt --version: in the form of runc's, which engines parse.
#include "base/file.h"
#include "oci/known_values.h"
#include "shim/cli/commit.h"
#include "shim/cli/subcommands.h"

namespace holt::shim::cli {

Subcommand VersionCommand() {
  return {
      .name = "version",
      .group = Group::kHost,
      .summary = "Print the versions of holt and of the runtime specification.",
      .define = [](Flags&) -> Body {
        return [](const Global&) -> base::Result<int> {
          TRY(base::WriteFd(1, fmt::format("holt version {}\ncommit: {}\nspec: {}\n", HOLT_VERSION,
                                           HOLT_COMMIT, oci::kSpecVersion)));
          return 0;
        };
      },
  };
}

}  // namespace holt::shim::cli
