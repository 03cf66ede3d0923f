#pragma once

#include <cstdint>
#include <string>

namespace holt::shim {

// Everything that is known when a sandbox failed. Fields are empty where nothing was seen.
struct Evidence {
  std::string stage;        // what was going on: "starting the machine", "running"
  std::string step_error;   // a step of the monitor's own that failed
  std::string agent_error;  // what the agent said on its way out
  std::string panic;        // the guest kernel's panic line
  std::string vm_end;       // any other end of the machine, in words
  // The process of the machine that ended first, other than by a clean exit, which the others make
  // when their peers are gone: "holt-fsd exited with status 1: …".
  std::string process_end;
  std::string console_line;  // the last line on the guest's console
  bool agent_lost = false;   // the agent's connection ended
  bool deadline_passed = false;
  int64_t deadline_ms = 0;
  uint64_t host_oom_kills =
      0;  // of the sandbox's processes, by the limit of its cgroup on the host
};

// The cause in one sentence: what went wrong first, not what followed from it. A guest whose kernel
// panicked also loses its agent, and its vsock times out; only the panic is worth saying.
std::string Explain(const Evidence& evidence);

// Whether the evidence names the cause already, so that waiting for more is pointless.
bool IsConclusive(const Evidence& evidence);

}  // namespace holt::shim
