#include "shim/cli/exit_status.h"

#include "shim/cli/command.h"
#include "shim/cli/report.h"

namespace holt::shim::cli {

bool IsExecError(const base::Error& error) { return error.message().starts_with("exec: \""); }

int StatusOfStartError(const base::Error& error) {
  switch (error.code()) {
    case base::Code::kNotFound:
      return kStatusNotFound;
    case base::Code::kPermissionDenied:
      return kStatusCannotExecute;
    default:
      return kStatusHoltFailed;
  }
}

int ReportOutcome(const Registry& registry, const std::string& id,
                  const Session::Outcome& outcome) {
  if (outcome.error.empty()) return outcome.status;
  std::string error = outcome.error;
  int status = outcome.status;
  if (outcome.lost) {
    // A dying process closes its sockets before its lock. What it wrote down while it ended in
    // order, or that it died, is known when the lock is free.
    (void)Registry::WaitUntilDead(PathsOf(registry.root(), id), std::chrono::seconds(2));
    auto sandbox = registry.Find(id);
    if (sandbox && sandbox->record.status == "stopped" && sandbox->record.error.empty())
      return sandbox->record.exit_status;
    if (sandbox && !sandbox->record.error.empty()) {
      error = sandbox->record.error;
      status = sandbox->record.exit_status;
    }
  }
  ReportError(fmt::format("container {}: {}", id, error));
  return status;
}

}  // namespace holt::shim::cli
