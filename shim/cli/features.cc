// holt features: what this runtime can do, for engines.
#include "shim/run/features.h"

#include "base/file.h"
#include "shim/cli/subcommands.h"

namespace holt::shim::cli {

Subcommand FeaturesCommand() {
  return {
      .name = "features",
      .group = Group::kRuntime,
      .summary = "Print what of the runtime specification is supported, as JSON.",
      .define = [](Flags& flags) -> Body {
        auto none = std::make_shared<std::vector<std::string>>();
        flags.Operands("", 0, 0, *none);
        return [none](const Global&) -> base::Result<int> {
          TRY_CONTEXT(base::WriteFd(1, DescribeFeatures()), "standard output");
          return 0;
        };
      },
  };
}

}  // namespace holt::shim::cli
