// holt import.
#include "shim/cli/image_command.h"

namespace holt::shim::cli {
namespace {

struct ImportFlags {
  image::commands::ImportCommand command;
  std::vector<std::string> operands;
};

}  // namespace

Subcommand ImportCommand() {
  return {
      .name = "import",
      .group = Group::kImages,
      .summary =
          "Take an image from a file: OCI layout or archive, `docker save`, or a root file system.",
      .define = [](Flags& flags) -> Body {
        auto import = std::make_shared<ImportFlags>();
        auto& command = import->command;
        auto& options = command.options;
        flags.String("--name", options.name, "NAME", "name to give it; or write it behind PATH");
        flags.String("--select", options.select, "TAG", "which image of an archive with several");
        flags.Choice("--format", command.format,
                     {"auto", "oci", "oci-archive", "docker-archive", "rootfs"},
                     "what PATH is (auto)");
        flags.String("--platform", options.platform, "OS/ARCH", "not this machine's: linux/arm64");
        flags.List("-e, --env", options.env, "NAME=VALUE", "of a root file system's configuration");
        flags.List("--entrypoint", options.entrypoint, "ARG", "one a flag");
        flags.List("--cmd", options.cmd, "ARG", "one a flag");
        flags.String("-w, --workdir", options.working_dir, "DIR", "working directory");
        flags.String("-u, --user", options.user, "USER[:GROUP]", "user");
        flags.List("-l, --label", options.labels, "NAME=VALUE", "label");
        flags.Bool("-q, --quiet", command.quiet, "print only the images' ids");
        flags.Operands("PATH|- [NAME]", 1, 2, import->operands);
        return [import](const Global& global) -> base::Result<int> {
          auto shared = std::make_shared<image::commands::ImportCommand>(import->command);
          shared->path = import->operands[0];
          if (import->operands.size() == 2) shared->options.name = import->operands[1];
          return ImageBody(shared, image::commands::RunImport)(global);
        };
      },
  };
}

}  // namespace holt::shim::cli
