#include "shim/cli/ps_options.h"

#include <algorithm>

namespace holt::shim::cli {
namespace {

using base::Code;
using base::MakeError;
using monitor::v1::ProcessInfo;

std::string Uid(const ProcessInfo& process) { return fmt::format("{}", process.uid()); }
std::string Command(const ProcessInfo& process) { return process.command(); }

// The program's name, as far as its arguments tell.
std::string Name(const ProcessInfo& process) {
  std::string first = process.command().substr(0, process.command().find(' '));
  size_t slash = first.rfind('/');
  return slash == std::string::npos ? first : first.substr(slash + 1);
}

constexpr PsColumn kColumns[] = {
    {"uid", "UID", Uid},
    {"pid", "PID", [](const ProcessInfo& process) { return fmt::format("{}", process.pid()); }},
    {"ppid", "PPID",
     [](const ProcessInfo& process) { return fmt::format("{}", process.parent_pid()); }},
    {"command", "COMMAND", Command},
    {"args", "COMMAND", Command},
    {"cmd", "CMD", Command},
    {"comm", "COMMAND", Name},
    {"user", "USER", Uid},
};
constexpr size_t kDefaultColumns = 4;  // from the first on

base::Result<const PsColumn*> FindColumn(std::string_view name) {
  for (const PsColumn& column : kColumns)
    if (column.name == name) return &column;
  return MakeError(Code::kUnsupported,
                   "ps: -o {}: there are pid, ppid, uid, user, comm, args, cmd and command", name);
}

}  // namespace

base::Result<std::vector<const PsColumn*>> ParsePsOptions(const std::vector<std::string>& options) {
  std::vector<const PsColumn*> columns;
  for (size_t i = 0; i < options.size(); ++i) {
    std::string_view letters = options[i];
    letters.remove_prefix(letters.starts_with('-') ? 1 : 0);
    // Which processes, and how wide: here it is always all, in full.
    size_t other = letters.find_first_not_of("AaefFuxw");
    if (other == std::string_view::npos && !letters.empty()) continue;
    if (other == std::string_view::npos || letters[other] != 'o')
      return MakeError(Code::kUnsupported, "ps: option \"{}\": there are -ef, aux and -o",
                       options[i]);
    // "-o pid,comm", "-eo pid,comm", "-opid".
    std::string_view list = letters.substr(other + 1);
    if (list.empty() && i + 1 < options.size()) list = options[++i];
    if (list.empty()) return MakeError(Code::kInvalidArgument, "ps: -o: needs names of columns");
    while (!list.empty()) {
      size_t end = std::min(list.find_first_of(", "), list.size());
      TRY_ASSIGN(const PsColumn* column, FindColumn(list.substr(0, end)));
      columns.push_back(column);
      list.remove_prefix(std::min(end + 1, list.size()));
    }
  }
  if (columns.empty())
    for (size_t i = 0; i < kDefaultColumns; ++i) columns.push_back(&kColumns[i]);
  return columns;
}

}  // namespace holt::shim::cli
