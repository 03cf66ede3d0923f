#include "image/pull.h"

#include "image/commands/commands.h"

namespace holt::image::commands {

base::Status RunPull(const PullCommand& command, const Io& io) {
  std::vector<Reference> references;
  for (const std::string& text : command.images) {
    TRY_ASSIGN(Reference reference, Reference::Parse(text));
    references.push_back(std::move(reference));
  }
  TRY_ASSIGN(auto store, Store::Open(command.common.store));
  for (const Reference& reference : references) {
    std::unique_ptr<Progress> progress = command.quiet ? MakeQuietProgress() : MakeProgress(io.err);
    PullOptions options;
    options.platform = command.platform;
    options.tls_verify = command.tls_verify;
    options.auth_file = command.auth_file;
    options.progress = progress.get();
    TRY_ASSIGN(StoredImage image, PullImage(*store, reference, options));
    progress.reset();
    std::fprintf(io.out, "%s\n", command.quiet ? image.id.c_str() : image.name.c_str());
  }
  return {};
}

}  // namespace holt::image::commands
