// holt spec: runc's, a config.json to begin with.
#include <fcntl.h>

#include "base/file.h"
#include "shim/cli/subcommands.h"
#include "shim/run/bundle_template.h"

namespace holt::shim::cli {
namespace {

base::Result<int> Spec(const std::string& bundle) {
  std::string path = bundle + "/config.json";
  auto file = base::Open(path, O_WRONLY | O_CREAT | O_EXCL, 0666);
  if (!file && file.error().err() == EEXIST)
    return base::MakeError(base::Code::kAlreadyExists, "{} exists: remove it first", path);
  if (!file) return std::move(file).error();
  TRY_CONTEXT(base::WriteFd(file->get(), oci::SerializeConfig(BundleTemplate(), 4) + "\n"), path);
  return 0;
}

}  // namespace

Subcommand SpecCommand() {
  return {
      .name = "spec",
      .group = Group::kRuntime,
      .summary = "Write a config.json to begin with.",
      .define = [](Flags& flags) -> Body {
        auto bundle = std::make_shared<std::string>(".");
        auto none = std::make_shared<std::vector<std::string>>();
        flags.String("-b, --bundle", *bundle, "DIR", "where to (.)");
        flags.Unsupported("--rootless", false, "holt runs as root");
        flags.Operands("", 0, 0, *none);
        return [bundle, none](const Global&) { return Spec(*bundle); };
      },
  };
}

}  // namespace holt::shim::cli
