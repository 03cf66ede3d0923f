#include "shim/cli/run_bundle.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "shim/cli/container.h"
#include "shim/cli/exit_status.h"
#include "shim/cli/notify.h"
#include "shim/cli/pid_file.h"
#include "shim/cli/report.h"
#include "shim/hooks/hooks.h"
#include "shim/monitor/cleanup.h"
#include "shim/run/session.h"

namespace holt::shim::cli {
namespace {

using base::Code;
using base::MakeError;

constexpr std::string_view kOfBundle[] = {"bundle",       "keep",          "pid-file",
                                          "preserve-fds", "no-pivot",      "console-socket",
                                          "no-subreaper", "no-new-keyring"};
constexpr std::string_view kOfBoth[] = {"detach", "accel"};

template <size_t n>
bool OneOf(const std::string_view (&names)[n], const std::string& name) {
  return std::find(names, names + n, name) != names + n;
}

base::Result<int> Detached(const RunBundleFlags& flags, const Global& global) {
  TRY_ASSIGN(CreatedContainer created, CreateWithStub(flags.create, global));
  auto start = [&]() -> base::Status {
    TRY_ASSIGN(auto client, rpc::BlockingClient::Connect(created.launched.paths.MonitorSocket()));
    auto started = client->Call<monitor::v1::Empty>(
        kMonitorService, "Start", StartRequestFor(flags.create.id(), /*stays=*/false));
    if (!started) return created.launched.monitor.Explain(started.error(), created.launched.paths);
    TRY_ASSIGN(Sandbox sandbox, global.registry().Find(flags.create.id()));
    return AfterStart(global, sandbox);
  };
  if (auto started = start(); !started) {
    auto sandbox = global.registry().Find(flags.create.id());
    if (sandbox) (void)RemoveContainer(global, *sandbox, true);
    return std::move(started).error();
  }
  if (!created.warning.empty()) ReportWarning(created.warning);
  WaitNotified(created.launched.paths, flags.create.id());
  return 0;
}

base::Result<int> Stay(const RunBundleFlags& flags, const Global& global,
                       CreatedContainer& created) {
  Session::Options options;
  options.paths = created.launched.paths;
  options.container_id = flags.create.id();
  options.terminal = created.terminal;
  options.input = true;
  TRY_ASSIGN(auto session, Session::Open(std::move(options)));
  TRY(session->Attach());
  int holder[2];
  if (pipe2(holder, O_CLOEXEC) != 0) return HOLT_ERRNO("pipe");
  base::UniqueFd read_end(holder[0]);
  // Until this process ends.
  base::UniqueFd write_end(holder[1]);
  TRY(AddStub(flags.create, global, created, read_end.get()));
  read_end.Reset();
  auto started = session->Call<monitor::v1::Empty>(
      "Start", StartRequestFor(flags.create.id(), /*stays=*/true));
  if (!started) {
    if (session->interrupted_by() != 0) return 128 + session->interrupted_by();
    return std::move(started).error();
  }
  TRY_ASSIGN(Sandbox sandbox, global.registry().Find(flags.create.id()));
  TRY(AfterStart(global, sandbox));
  if (!created.warning.empty()) ReportWarning(created.warning);
  TRY_ASSIGN(Session::Outcome outcome, session->Run());
  return ReportOutcome(global.registry(), flags.create.id(), outcome);
}

base::Result<int> Foreground(const RunBundleFlags& flags, const Global& global) {
  TRY_ASSIGN(
      CreatedContainer created,
      CreateFromBundle(flags.create, global, {.foreground = true, .auto_remove = !flags.keep}));
  StartedMonitor& monitor = created.launched.monitor;
  auto sandbox = global.registry().Find(flags.create.id());
  auto status = Stay(flags, global, created);
  if (!status) status = monitor.Explain(status.error(), created.launched.paths);
  // Of a container that was never started nothing stays.
  monitor.life.Reset();
  // Whoever deletes it next finds it stopped.
  if (auto ended = monitor.WaitForEnd(std::chrono::seconds(20)); !ended)
    ReportWarning(ended.error().message());
  if (!flags.keep && created.hooks && sandbox)
    RunPoststopHooks(*created.hooks, sandbox->record, ReportWarning);
  return status;
}

}  // namespace

void RunBundleFlags::Define(Flags& flags) {
  create.Define(flags, "run the container of an OCI bundle: `holt run --bundle DIR ID`");
  flags.Bool("--keep", keep, "with --bundle: do not delete it when it has ended");
  flags.Bool("--no-subreaper", create.ignored, "without meaning: its processes are elsewhere");
}

base::Status CheckRunForm(const std::vector<std::string>& given, bool bundle) {
  for (const std::string& name : given) {
    if (OneOf(kOfBoth, name) || OneOf(kOfBundle, name) == bundle) continue;
    return MakeError(Code::kInvalidArgument, "--{}: {}", name,
                     bundle ? "is a flag of `holt run IMAGE`; with --bundle config.json says it"
                            : "only with --bundle");
  }
  return {};
}

base::Result<int> RunBundle(const RunBundleFlags& flags, bool detach, const Global& global) {
  if (flags.create.operands.size() != 1)
    return MakeError(Code::kInvalidArgument,
                     "run --bundle: the operand is the container's ID, and config.json has its "
                     "command");
  return detach ? Detached(flags, global) : Foreground(flags, global);
}

}  // namespace holt::shim::cli
