// holt inspect.
#include "shim/cli/image_command.h"

namespace holt::shim::cli {

Subcommand InspectCommand() {
  return {
      .name = "inspect",
      .group = Group::kImages,
      .summary = "Print what is known about images, as JSON.",
      .define = [](Flags& flags) -> Body {
        auto command = std::make_shared<image::commands::InspectCommand>();
        flags.Operands("IMAGE...", 1, SIZE_MAX, command->images);
        return ImageBody(command, image::commands::RunInspect);
      },
  };
}

}  // namespace holt::shim::cli
