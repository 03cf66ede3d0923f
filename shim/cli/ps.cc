// holt ps: without an operand Docker's list of containers, with one runc's list of its processes.
#include <nlohmann/json.hpp>

#include "shim/cli/container.h"
#include "shim/cli/ps_options.h"
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

// What engines look up in this host's /proc, so never numbers of the guest: docs/adr/0079.
base::Status ListHostPids(const Sandbox& sandbox) {
  nlohmann::json pids;  // null, as runc prints it, when nothing runs
  if (sandbox.record.status != "stopped") {
    auto state = CallRunning<monitor::v1::StateResponse>(sandbox, "State", RequestFor(sandbox));
    if (!state && state.error().code() != base::Code::kFailedPrecondition)
      return std::move(state).error();
    if (state)
      for (int pid : state->host_pids()) pids.push_back(pid);
  }
  return Print(pids.dump() + "\n");
}

base::Status ListProcesses(const PsFlags& flags, const Global& global) {
  TRY_ASSIGN(Sandbox sandbox, global.registry().Find(flags.operands.front()));
  if (flags.format == "json") return ListHostPids(sandbox);
  TRY_ASSIGN(auto columns, ParsePsOptions({flags.operands.begin() + 1, flags.operands.end()}));
  TRY_ASSIGN(auto answer, CallRunning<monitor::v1::ListProcessesResponse>(sandbox, "ListProcesses",
                                                                          RequestFor(sandbox)));
  std::vector<std::vector<std::string>> rows(1);
  for (const PsColumn* column : columns) rows[0].emplace_back(column->heading);
  for (const auto& process : answer.processes()) {
    std::vector<std::string>& row = rows.emplace_back();
    for (const PsColumn* column : columns) row.push_back(column->cell(process));
  }
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
        flags.Operands("[CONTAINER [PS-OPTION...]]", 0, SIZE_MAX, ps->operands);
        flags.StopAtFirstOperand();
        return [ps](const Global& global) -> base::Result<int> {
          TRY(ps->operands.empty() ? ListContainers(*ps, global) : ListProcesses(*ps, global));
          return 0;
        };
      },
      .notes =
          "The table has the numbers that the processes of a container have in its machine. "
          "PS-OPTION\n"
          "is -ef, aux and the like, or -o with some of pid, ppid, uid, user, comm, args. With\n"
          "--format json it is the numbers, on this host, of what stands in for them: the "
          "container's\n"
          "process first, then those of `exec`.",
  };
}

}  // namespace holt::shim::cli
