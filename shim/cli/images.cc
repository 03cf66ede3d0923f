// holt images.
#include "shim/cli/image_command.h"

namespace holt::shim::cli {

Subcommand ImagesCommand() {
  return {
      .name = "images",
      .group = Group::kImages,
      .summary = "List the images that are here.",
      .define = [](Flags& flags) -> Body {
        auto command = std::make_shared<image::commands::ImagesCommand>();
        auto names = std::make_shared<std::vector<std::string>>();
        flags.Choice("--format", command->format, {"table", "json"}, "(table)");
        flags.Bool("--digests", command->digests, "show digests");
        flags.Bool("-q, --quiet", command->quiet, "print only ids");
        flags.Bool("--no-trunc", command->no_trunc, "ids in full");
        flags.Operands("[NAME]", 0, 1, *names);
        Body body = ImageBody(command, image::commands::RunImages);
        return [command, names, body](const Global& global) {
          if (!names->empty()) command->name = names->front();
          return body(global);
        };
      },
  };
}

}  // namespace holt::shim::cli
