#include "shim/cli/container.h"

#include <signal.h>

#include "base/file.h"
#include "shim/cli/report.h"
#include "shim/hooks/hooks.h"
#include "shim/monitor/cleanup.h"
#include "shim/stub/find.h"

namespace holt::shim::cli {
namespace {

using base::Code;
using base::MakeError;
using namespace std::chrono_literals;

// A monitor that ends takes its machine down; nothing there waits longer than this.
constexpr auto kTeardownPatience = 15s;

}  // namespace

base::Result<Sandbox> FindRunning(const Global& global, const std::string& name) {
  TRY_ASSIGN(Sandbox sandbox, global.registry().Find(name));
  if (sandbox.record.status == "running" || sandbox.record.status == "paused") return sandbox;
  return NotRunning(sandbox);
}

bool IsGone(const base::Error& error) {
  return error.code() == Code::kUnavailable || error.code() == Code::kCancelled ||
         error.err() == ENOENT || error.err() == ECONNREFUSED || error.err() == ECONNRESET ||
         error.err() == EPIPE;
}

base::Error NotRunning(const Sandbox& sandbox) {
  std::string why = sandbox.record.status;
  if (!sandbox.record.error.empty()) why += ": " + sandbox.record.error;
  return MakeError(Code::kFailedPrecondition, "container not running: \"{}\" is {}",
                   sandbox.record.id, why);
}

base::Status SendSignal(const Sandbox& sandbox, int signal, bool all) {
  monitor::v1::KillRequest request;
  request.set_container_id(sandbox.record.id);
  request.set_signal(signal);
  request.set_all(all);
  auto sent = CallRunning<monitor::v1::Empty>(sandbox, "Kill", request);
  if (sent) return {};
  // It ended in this moment: the words for that are the same as for one that ended long ago.
  if (sent.error().code() == Code::kNotFound)
    return MakeError(Code::kFailedPrecondition, "container not running: \"{}\" is stopped",
                     sandbox.record.id);
  return std::move(sent).error();
}

base::Result<int> WaitForExit(const Global& global, const Sandbox& sandbox,
                              std::chrono::milliseconds timeout) {
  monitor::v1::ProcessRequest request;
  request.set_container_id(sandbox.record.id);
  rpc::CallOptions options;
  if (timeout >= 0ms) options.timeout = timeout;
  auto answer = CallMonitor<monitor::v1::WaitResponse>(sandbox, "Wait", request, options);
  if (answer) return answer->exit_status();
  if (answer.error().code() == Code::kDeadlineExceeded) return std::move(answer).error();
  // Its monitor is ending or has ended: what it wrote down is the truth then.
  TRY(Registry::WaitUntilDead(sandbox.paths, kTeardownPatience));
  TRY_ASSIGN(Sandbox last, global.registry().Find(sandbox.record.id));
  return last.record.exit_status;
}

namespace {

// Killed: for who waited for it, the container is over, and its monitor is about to know.
bool LostItsStub(const Sandbox& sandbox) {
  const Record& record = sandbox.record;
  return record.pid != record.monitor_pid && !FindStub(sandbox.paths, record);
}

base::Status Destroy(const Global& global, const Sandbox& sandbox, bool force) {
  const std::string& id = sandbox.record.id;
  if (force) return ForceCleanup(global.root, id);
  const std::string& status = sandbox.record.status;
  const bool over = status == "stopped" || status == "created";
  if (sandbox.alive && !over && LostItsStub(sandbox)) {
    TRY_CONTEXT(WaitForExit(global, sandbox, kTeardownPatience), "container " + id);
  } else if (sandbox.alive && !over) {
    return MakeError(Code::kFailedPrecondition,
                     "cannot delete container {} that is not stopped: {}; stop it, or use --force",
                     id, status);
  }
  if (sandbox.alive) {
    monitor::v1::DeleteRequest request;
    request.set_container_id(id);
    // A monitor that is ending refuses; then its end is awaited, and we remove what it leaves.
    (void)CallMonitor<monitor::v1::Empty>(sandbox, "Delete", request);
    TRY_CONTEXT(Registry::WaitUntilDead(sandbox.paths, kTeardownPatience), "container " + id);
  }
  return Cleanup(global.root, id);
}

}  // namespace

base::Status RemoveContainer(const Global& global, const Sandbox& sandbox, bool force) {
  // The configuration goes with the container.
  auto hooks = ReadHooks(sandbox.paths);
  TRY(Destroy(global, sandbox, force));
  if (hooks) {
    RunPoststopHooks(*hooks, sandbox.record, ReportWarning);
  } else if (hooks.error().err() != ENOENT) {
    ReportWarning("hooks.poststop: " + hooks.error().message());
  }
  return {};
}

base::Status AfterStart(const Global& global, const Sandbox& sandbox) {
  auto run = [&]() -> base::Status {
    TRY_ASSIGN(oci::Hooks hooks, ReadHooks(sandbox.paths));
    return RunPoststartHooks(hooks, sandbox.record);
  };
  auto done = run();
  if (done) return {};
  // The specification: the container is stopped, and the start is an error.
  (void)SendSignal(sandbox, SIGKILL, true);
  (void)WaitForExit(global, sandbox, kTeardownPatience);
  return done;
}

int ForEach(const std::vector<std::string>& names,
            const std::function<base::Status(const std::string&)>& one) {
  int status = 0;
  for (const std::string& name : names) {
    auto done = one(name);
    if (done) continue;
    ReportError(done.error().message());
    status = 1;
  }
  return status;
}

base::Status Print(const std::string& text) {
  TRY_CONTEXT(base::WriteFd(1, text), "standard output");
  return {};
}

}  // namespace holt::shim::cli
