// holt ps: without an operand Docker's list of containers, with one runc's list of its processes.
#include <nlohmann/json.hpp>

#include "shim/cli/container.h"
#include "shim/cli/state_json.h"
#include "shim/cli/subcommands.h"
#include "shim/cli/table.h"

namespace holt::shim::cli {
namespace {

constexpr size_t kCommandWidth = 40;

struct PsFlags {
  bool all = false;
  bool quiet = false;
  bool no_trunc = false;
  std::string format = "table";
  std::vector<std::string> operands;
};

std::string StatusText(const Record& record, int64_t now) {
  if (record.status == "running") return "Up " + FormatAge(now - record.started_unix_nanos);
  if (record.status != "stopped") return record.status;
  std::string text = fmt::format("Exited ({})", record.exit_status);
  if (record.exited_unix_nanos != 0)
    text += " " + FormatAge(now - record.exited_unix_nanos) + " ago";
  if (!record.error.empty()) text += ": " + record.error;
  return text;
}

base::Status ListContainers(const PsFlags& flags, const Global& global) {
  std::vector<Sandbox> shown;
  for (Sandbox& sandbox : global.registry().List())
    if (flags.all || sandbox.record.status == "running" || sandbox.record.status == "paused")
      shown.push_back(std::move(sandbox));
  if (flags.quiet) {
    std::string ids;
    for (const Sandbox& sandbox : shown) ids += sandbox.record.id + "\n";
    return Print(ids);
  }
  if (flags.format == "json") return Print(DetailListJson(shown));
  int64_t now = NowUnixNanos();
  auto cut = [&](const std::string& text) {
    return flags.no_trunc ? text : Shorten(text, kCommandWidth);
  };
  std::vector<std::vector<std::string>> rows = {
      {"CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAME"}};
  for (const Sandbox& sandbox : shown) {
    const Record& record = sandbox.record;
    rows.push_back({record.id, record.image, cut(record.command),
                    FormatAge(now - record.created_unix_nanos) + " ago",
                    cut(StatusText(record, now)), record.name});
  }
  return Print(FormatTable(rows));
}

base::Status ListProcesses(const PsFlags& flags, const Global& global) {
  TRY_ASSIGN(Sandbox sandbox, FindRunning(global, flags.operands.front()));
  TRY_ASSIGN(auto answer, CallMonitor<monitor::v1::ListProcessesResponse>(sandbox, "ListProcesses",
                                                                          RequestFor(sandbox)));
  if (flags.format == "json") {
    nlohmann::json pids = nlohmann::json::array();
    for (const auto& process : answer.processes()) pids.push_back(process.pid());
    return Print(pids.dump() + "\n");
  }
  std::vector<std::vector<std::string>> rows = {{"UID", "PID", "PPID", "COMMAND"}};
  for (const auto& process : answer.processes())
    rows.push_back({fmt::format("{}", process.uid()), fmt::format("{}", process.pid()),
                    fmt::format("{}", process.parent_pid()), process.command()});
  return Print(FormatTable(rows));
}

}  // namespace

Subcommand PsCommand() {
  return {
      .name = "ps",
      .group = Group::kRun,
      .summary = "List containers; with one named, its processes.",
      .define = [](Flags& flags) -> Body {
        auto ps = std::make_shared<PsFlags>();
        flags.Bool("-a, --all", ps->all, "also those that do not run");
        flags.Bool("-q, --quiet", ps->quiet, "print only ids");
        flags.Bool("--no-trunc", ps->no_trunc, "texts in full");
        flags.Choice("-f, --format", ps->format, {"table", "json"}, "(table)");
        flags.Operands("[CONTAINER]", 0, 1, ps->operands);
        return [ps](const Global& global) -> base::Result<int> {
          TRY(ps->operands.empty() ? ListContainers(*ps, global) : ListProcesses(*ps, global));
          return 0;
        };
      },
      .notes = "The processes of a container have their numbers in its machine, not on this host.",
  };
}

}  // namespace holt::shim::cli
