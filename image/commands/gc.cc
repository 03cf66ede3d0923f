#include "image/gc.h"

#include "base/log.h"
#include "image/commands/commands.h"
#include "image/commands/table.h"

namespace holt::image::commands {

using base::Status;

namespace {

const char* KindText(Garbage::Kind kind) {
  switch (kind) {
    case Garbage::Kind::kRoot:
      return "root of container";
    case Garbage::Kind::kLayer:
      return "layer";
    case Garbage::Kind::kBlob:
      return "blob";
    case Garbage::Kind::kDownload:
      return "download";
    case Garbage::Kind::kTemporary:
      return "debris";
  }
  return "";
}

}  // namespace

Status RunGc(const GcCommand& command, const Io& io) {
  TRY_ASSIGN(auto store, Store::Open(command.common.store));
  GcOptions options;
  options.dry_run = command.dry_run;
  options.all = command.all;
  options.patience = std::chrono::seconds(2);
  TRY_ASSIGN(auto garbage, CollectGarbage(*store, options));
  uint64_t bytes = 0;
  for (const Garbage& item : garbage) {
    bytes += item.bytes;
    if (command.quiet) continue;
    fmt::print(io.out, "{} {} {}{}\n", command.dry_run ? "would remove" : "removed",
               KindText(item.kind), base::log::Sanitize(item.name),
               item.bytes ? " (" + SizeText(item.bytes) + ")" : "");
  }
  if (!command.quiet)
    fmt::print(io.err, "{} {} of images and downloads\n", command.dry_run ? "would free" : "freed",
               SizeText(bytes));
  return {};
}

}  // namespace holt::image::commands
