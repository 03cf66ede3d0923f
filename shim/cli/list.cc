// holt list: runc's.
#include "shim/cli/container.h"
#include "shim/cli/state_json.h"
#include "shim/cli/subcommands.h"
#include "shim/cli/table.h"

namespace holt::shim::cli {
namespace {

struct ListFlags {
  std::string format = "table";
  bool quiet = false;
  std::vector<std::string> none;
};

base::Result<int> List(const ListFlags& flags, const Global& global) {
  auto sandboxes = global.registry().List();
  if (flags.quiet) {
    std::string ids;
    for (const Sandbox& sandbox : sandboxes) ids += sandbox.record.id + "\n";
    TRY(Print(ids));
    return 0;
  }
  if (flags.format == "json") {
    TRY(Print(StateListJson(sandboxes)));
    return 0;
  }
  std::vector<std::vector<std::string>> rows = {
      {"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"}};
  for (const Sandbox& sandbox : sandboxes) {
    const Record& record = sandbox.record;
    rows.push_back({record.id, fmt::format("{}", ShownPid(record)), record.status,
                    record.bundle.empty() ? sandbox.paths.directory : record.bundle,
                    FormatTime(record.created_unix_nanos), OwnerOf(sandbox)});
  }
  TRY(Print(FormatTable(rows)));
  return 0;
}

}  // namespace

Subcommand ListCommand() {
  return {
      .name = "list",
      .group = Group::kRuntime,
      .summary = "List all containers.",
      .define = [](Flags& flags) -> Body {
        auto list = std::make_shared<ListFlags>();
        flags.Choice("-f, --format", list->format, {"table", "json"}, "(table)");
        flags.Bool("-q, --quiet", list->quiet, "print only ids");
        flags.Operands("", 0, 0, list->none);
        return [list](const Global& global) { return List(*list, global); };
      },
  };
}

}  // namespace holt::shim::cli
