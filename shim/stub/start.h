#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"
#include "shim/state/layout.h"

namespace holt::shim {

// The stub of one process: docs/processes/holt-stub.md.
struct StubOptions {
  Installation installation;
  SandboxPaths paths;
  std::string container_id;
  std::string exec_id;  // empty: the container's own process
  bool terminal = false;
  // With a terminal: the engine's socket, to which the stub sends the master of a new pty.
  std::string console_socket;
  // process.apparmorProfile; empty or "unconfined": none.
  std::string apparmor_profile;
  // The container's network namespace (borrowed). An exec's stub has that of the container's stub;
  // without either it gets one of its own.
  int network = -1;
  // A descriptor (borrowed): somebody else has the process's stdio, and the stub is only its
  // number. It ends, and takes the process along, when the other side of that is closed.
  int holder = -1;
};

// Starts a holt-stub that inherits the caller's stdio (unless somebody else holds it), and nothing
// else, in a session of its own, and waits until it is attached and shows nothing but the
// container. Its pid is the container's pid on the host; when the caller exits it is orphaned to
// the engine's subreaper, which waits for it. The monitor learns its pid from the connection
// (state.json: pid).
base::Result<pid_t> StartStub(const StubOptions& options);

}  // namespace holt::shim
