#include "shim/monitor/diagnosis.h"

#include <fmt/format.h>

#include <string_view>

namespace holt::shim {
namespace {

// How the kernel begins the line (kernel/panic.c); it says no more than we do.
constexpr std::string_view kPanicPrefix = "Kernel panic - not syncing: ";

}  // namespace

bool IsConclusive(const Evidence& evidence) {
  return !evidence.panic.empty() || !evidence.agent_error.empty();
}

std::string Explain(const Evidence& evidence) {
  std::string cause;
  if (!evidence.panic.empty()) {
    std::string_view line = evidence.panic;
    if (line.starts_with(kPanicPrefix)) line.remove_prefix(kPanicPrefix.size());
    cause = fmt::format("the guest kernel panicked: {}", line);
  } else if (!evidence.agent_error.empty()) {
    cause = "the guest's agent failed: " + evidence.agent_error;
  } else if (!evidence.process_end.empty()) {
    cause = evidence.process_end;
  } else if (!evidence.step_error.empty()) {
    cause = evidence.step_error;
  } else if (!evidence.vm_end.empty()) {
    cause = evidence.vm_end;
  } else if (evidence.deadline_passed) {
    cause = fmt::format("the guest's agent was not ready within {:g} s",
                        static_cast<double>(evidence.deadline_ms) / 1000);
    cause += evidence.console_line.empty()
                 ? "; the guest wrote nothing on its console"
                 : "; the last line on its console: " + evidence.console_line;
  } else if (evidence.agent_lost) {
    cause = "the guest's agent went away";
    if (!evidence.console_line.empty())
      cause += "; the last line on the guest's console: " + evidence.console_line;
  } else {
    cause = "unknown cause";
  }
  if (evidence.host_oom_kills > 0)
    cause +=
        "; the memory limit of its cgroup on the host was reached (--machine-overhead gives it "
        "more)";
  return evidence.stage.empty() ? cause : evidence.stage + ": " + cause;
}

}  // namespace holt::shim
