// holt rmi.
#include "shim/cli/image_command.h"

namespace holt::shim::cli {

Subcommand RmiCommand() {
  return {
      .name = "rmi",
      .group = Group::kImages,
      .summary = "Remove images.",
      .define = [](Flags& flags) -> Body {
        auto command = std::make_shared<image::commands::RmiCommand>();
        flags.Bool("-f, --force", command->force, "also when containers use them");
        flags.Operands("IMAGE...", 1, SIZE_MAX, command->images);
        return ImageBody(command, image::commands::RunRmi);
      },
  };
}

}  // namespace holt::shim::cli
