#pragma once

#include <chrono>
#include <string>

#include "base/result.h"
#include "rpc/client.h"
#include "rpc/monitor.pb.h"
#include "shim/cli/command.h"
#include "shim/run/session.h"
#include "shim/state/registry.h"

// What the commands on existing containers have in common.
namespace holt::shim::cli {

// Whether a call failed because the monitor is not there (any more).
bool IsGone(const base::Error& error);

// One call to the monitor of a sandbox. kUnavailable when there is none.
template <typename Response, typename Request>
base::Result<Response> CallMonitor(const Sandbox& sandbox, const std::string& method,
                                   const Request& request, const rpc::CallOptions& options = {}) {
  TRY_ASSIGN(auto client, rpc::BlockingClient::Connect(sandbox.paths.MonitorSocket()));
  return client->Call<Response>(kMonitorService, method, request, options);
}

// "container not running: "id" is status", the words that engines look for.
base::Error NotRunning(const Sandbox& sandbox);

// The same for a container that was found alive: where its monitor has ended in this moment, the
// error is that of a container that ended long ago.
template <typename Response, typename Request>
base::Result<Response> CallRunning(const Sandbox& sandbox, const std::string& method,
                                   const Request& request, const rpc::CallOptions& options = {}) {
  if (!sandbox.alive || sandbox.record.status == "stopped") return NotRunning(sandbox);
  auto answer = CallMonitor<Response>(sandbox, method, request, options);
  if (answer || !IsGone(answer.error())) return answer;
  Sandbox ended = sandbox;
  ended.record.status = "stopped";
  return NotRunning(ended);
}

inline monitor::v1::ContainerRequest RequestFor(const Sandbox& sandbox) {
  monitor::v1::ContainerRequest request;
  request.set_container_id(sandbox.record.id);
  return request;
}

// The container, if its process runs: the error says "container not running", which engines look
// for.
base::Result<Sandbox> FindRunning(const Global& global, const std::string& name);

base::Status SendSignal(const Sandbox& sandbox, int signal, bool all);

// Waits for the end of its process; kDeadlineExceeded after `timeout` (negative: for ever). The
// result is the exit status.
base::Result<int> WaitForExit(const Global& global, const Sandbox& sandbox,
                              std::chrono::milliseconds timeout);

// After its process was started, before that is said to anybody: poststart hooks. An error stops
// it.
base::Status AfterStart(const Global& global, const Sandbox& sandbox);

// Removes it and all that belongs to it, and returns when it is gone and its poststop hooks have
// run (what fails there is reported as a warning). Without `force` one that runs is an error.
base::Status RemoveContainer(const Global& global, const Sandbox& sandbox, bool force);

// Does `one` for every name; what fails is reported and does not stop the others. The exit status.
int ForEach(const std::vector<std::string>& names,
            const std::function<base::Status(const std::string&)>& one);

// Prints to stdout.
base::Status Print(const std::string& text);

}  // namespace holt::shim::cli
