// holt gc: what crashed or killed commands left, of sandboxes and in the image store.
#include "shim/cli/image_command.h"
#include "shim/monitor/cleanup.h"

namespace holt::shim::cli {

Subcommand GcCommand() {
  return {
      .name = "gc",
      .group = Group::kImages,
      .summary = "Remove what nothing uses: debris of killed commands, layers without an image.",
      .define = [](Flags& flags) -> Body {
        auto command = std::make_shared<image::commands::GcCommand>();
        flags.Bool("-n, --dry-run", command->dry_run,
                   "only say what would go (from the image store)");
        flags.Bool("-a, --all", command->all, "also downloads that could still be resumed");
        flags.Bool("-q, --quiet", command->quiet, "print nothing");
        Body images = ImageBody(command, image::commands::RunGc);
        return [command, images](const Global& global) -> base::Result<int> {
          // Sandboxes first: their root file systems hold layers.
          base::Status sandboxes;
          if (!command->dry_run) {
            CleanedUp cleaned = CleanupDebris(global.root);
            if (!command->quiet)
              for (const std::string& name : cleaned.removed)
                std::printf("removed what was left of container %s\n", name.c_str());
            sandboxes = std::move(cleaned.status);
          }
          TRY_ASSIGN(int status, images(global));
          TRY(sandboxes);
          return status;
        };
      },
  };
}

}  // namespace holt::shim::cli
