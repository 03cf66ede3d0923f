#include "image/import.h"

#include "image/commands/commands.h"

namespace holt::image::commands {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

Result<ImportFormat> ParseFormat(const std::string& text) {
  if (text == "auto") return ImportFormat::kAuto;
  if (text == "oci") return ImportFormat::kOciDirectory;
  if (text == "oci-archive") return ImportFormat::kOciArchive;
  if (text == "docker-archive") return ImportFormat::kDockerArchive;
  if (text == "rootfs") return ImportFormat::kRootfsTar;
  return MakeError(Code::kInvalidArgument,
                   "--format {}: there is auto, oci, oci-archive, docker-archive and rootfs", text);
}

}  // namespace

Status RunImport(const ImportCommand& command, const Io& io) {
  ImportOptions options = command.options;
  TRY_ASSIGN(options.format, ParseFormat(command.format));
  TRY_ASSIGN(auto store, Store::Open(command.common.store));
  std::unique_ptr<Progress> progress = command.quiet ? MakeQuietProgress() : MakeProgress(io.err);
  options.progress = progress.get();
  TRY_ASSIGN(auto images, ImportImage(*store, command.path, options));
  progress.reset();
  for (const StoredImage& image : images) {
    if (image.name.empty() && !command.quiet)
      fmt::print(io.err, "note: {} has no name; give it one with --name, or use its id\n",
                 image.id.substr(7, 12));
    fmt::print(io.out, "{}\n", command.quiet || image.name.empty() ? image.id : image.name);
  }
  return {};
}

}  // namespace holt::image::commands
