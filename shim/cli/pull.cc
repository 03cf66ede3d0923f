// holt pull.
#include "shim/cli/image_command.h"

namespace holt::shim::cli {

Subcommand PullCommand() {
  return {
      .name = "pull",
      .group = Group::kImages,
      .summary = "Fetch images from their registries.",
      .define = [](Flags& flags) -> Body {
        auto command = std::make_shared<image::commands::PullCommand>();
        flags.String("--platform", command->platform, "OS/ARCH", "not this machine's: linux/arm64");
        flags.Bool("--tls-verify", command->tls_verify, "=false: any certificate, and plain http");
        flags.String("--authfile", command->auth_file, "FILE",
                     "credentials, as docker and podman keep them");
        flags.Bool("-q, --quiet", command->quiet, "print only the images' ids");
        flags.Operands("IMAGE...", 1, SIZE_MAX, command->images);
        return ImageBody(command, image::commands::RunPull);
      },
  };
}

}  // namespace holt::shim::cli
