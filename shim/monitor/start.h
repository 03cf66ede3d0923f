#pragma once

#include <sys/types.h>

#include <chrono>
#include <span>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "shim/state/record.h"
#include "shim/state/registry.h"

// How a command starts the monitor of a sandbox that it made:
//   Registry::Begin → write request.json and config.json into NewSandbox::directory() → Publish →
//   StartMonitor → Monitor.Start over monitor.sock.
namespace holt::shim {

struct StartedMonitor {
  // A child of the caller, in a session of its own; the caller need not wait for it.
  pid_t pid = -1;
  base::UniqueFd pidfd;  // readable when it has ended
  // With Request::foreground: a sandbox whose container was not started yet ends and vanishes when
  // this is closed, by the caller's death for one. Afterwards it means nothing.
  base::UniqueFd life;
  // With Request::timeline: a memfd. When the monitor has ended (WaitForEnd) it holds
  // the steps of the whole life, teardown included, as TimelineToJson(steps, 0) writes them. Read
  // it with pread from 0.
  base::UniqueFd timeline;

  // Until the monitor has ended, and with it everything of a sandbox with auto_remove; reaps it.
  base::Status WaitForEnd(std::chrono::milliseconds deadline);
  // For a call to it that failed: that it was killed, if it was; otherwise `failure` as it is.
  base::Error Explain(base::Error failure, const SandboxPaths& paths);
};

// Starts `request.libexec`/holt-monitor, hands the lock over and waits until the container is
// created: monitor.sock and attach.sock are served then. Takes a published sandbox; `request` is
// what was written into it.
//
// On an error nothing of the sandbox is left, whatever happened (the monitor cleaned up, or died
// and Cleanup() did). The message is the cause for people; the code is the agent's where it was the
// agent's (kInvalidArgument: the configuration; kUnsupported: a property that is not implemented).
//
// `network` is the container's network namespace (borrowed), or -1: nothing but loopback.
// `descriptors` (borrowed, at most kMaxDescriptors) are what its process has beside its stdio.
base::Result<StartedMonitor> StartMonitor(NewSandbox sandbox, const Request& request,
                                          int network = -1, std::span<const int> descriptors = {});

}  // namespace holt::shim
