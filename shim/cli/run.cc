// holt run: an image's container in a machine of its own, in the foreground or not.
#include <fcntl.h>
#include <unistd.h>

#include "base/file.h"
#include "image/pull.h"
#include "image/reference.h"
#include "shim/cgroup/choose.h"
#include "shim/cli/command.h"
#include "shim/cli/container_flags.h"
#include "shim/cli/exit_status.h"
#include "shim/cli/report.h"
#include "shim/cli/run_bundle.h"
#include "shim/cli/run_network.h"
#include "shim/cli/subcommands.h"
#include "shim/cli/timeline_file.h"
#include "shim/run/accel.h"
#include "shim/run/launch.h"
#include "shim/run/session.h"
#include "shim/run/sizing.h"

namespace holt::shim::cli {
namespace {

using base::Code;

struct RunFlags {
  ContainerFlags container;
  RunBundleFlags bundle;
  bool interactive = false;
  bool terminal = false;
  bool detach = false;
  bool auto_remove = false;
  std::string name;
  std::string pull = "missing";
  bool tls_verify = true;
  std::string accel;
  std::string timeline;
  std::string cidfile;
  int64_t stop_timeout = 10;
  std::vector<std::string> operands;
};

// The image, with the store's shared lock held from then on: nobody collects it before the
// container counts on it.
struct HeldImage {
  std::unique_ptr<image::Store> store;
  image::FileLock lock;
  image::StoredImage image;
  oci::ImageConfig config;
};

base::Result<HeldImage> GetImage(const Global& global, const RunFlags& flags, Timeline& timeline) {
  const std::string& name = flags.operands[0];
  HeldImage held;
  TRY_ASSIGN_CONTEXT(held.store, image::Store::Open(global.store), "image store");
  TRY_ASSIGN(held.lock, held.store->LockShared());
  auto found = held.store->FindImage(name);
  if (!found && found.error().code() != Code::kNotFound) return std::move(found).error();
  if (flags.pull == "always" || (flags.pull == "missing" && !found)) {
    auto reference = image::Reference::Parse(name);
    if (!reference) return std::move(reference).error();
    timeline.Begin("pull the image");
    auto progress = image::MakeProgress(stderr);
    image::PullOptions options;
    options.tls_verify = flags.tls_verify;
    options.progress = progress.get();
    TRY_ASSIGN(held.image, image::PullImage(*held.store, *reference, options));
    timeline.End("pull the image");
  } else if (found) {
    held.image = *std::move(found);
  } else {
    return std::move(found).error();
  }
  TRY_ASSIGN_CONTEXT(held.config, held.store->ReadConfig(held.image), "image " + name);
  return held;
}

base::Result<Request> MakeRequest(const RunFlags& flags, const HeldImage& held,
                                  const std::string& store_path) {
  Request request;
  request.id = flags.container.options.id;
  request.name = flags.name;
  request.image = image::DisplayName(held.image);
  request.store = store_path;
  TRY_ASSIGN(uint64_t host_memory, HostMemory());
  TRY_ASSIGN(MachineSize size, SizeMachine(flags.container.options.memory_bytes,
                                           flags.container.options.cpus_milli, host_memory));
  request.memory_bytes = size.memory_bytes;
  request.vcpus = size.vcpus;
  request.stdin_open = flags.interactive;
  request.auto_remove = flags.auto_remove;
  request.foreground = true;
  request.write_hosts = true;
  request.timeline = !flags.timeline.empty();
  request.stop_signal = flags.container.options.stop_signal.empty()
                            ? held.config.config.stop_signal
                            : flags.container.options.stop_signal;
  request.created_unix_nanos = NowUnixNanos();
  TRY(ChooseNetwork(flags.container, request));
  return request;
}

// Starts the container and stays with it to its end.
base::Result<int> RunForeground(const RunFlags& flags, const Registry& registry, Launched& launched,
                                Timeline& timeline, bool& detached) {
  Session::Options options;
  options.paths = launched.paths;
  options.container_id = flags.container.options.id;
  options.terminal = flags.terminal;
  options.input = flags.interactive;
  options.detach_keys = flags.terminal && flags.interactive;
  TRY_ASSIGN(auto session, Session::Open(std::move(options)));
  TRY(session->Attach());
  monitor::v1::ContainerRequest request;
  request.set_container_id(flags.container.options.id);
  timeline.Begin("start the container");
  auto started = session->Call<monitor::v1::Empty>("Start", request);
  timeline.End("start the container");
  if (!started) {
    if (session->interrupted_by() != 0) return 128 + session->interrupted_by();
    base::Error error = launched.monitor.Explain(started.error(), launched.paths);
    ReportError(error.message());
    return StatusOfStartError(error);
  }
  TRY_ASSIGN(Session::Outcome outcome, session->Run());
  detached = outcome.detached;
  if (detached) return 0;
  timeline.Begin("wait for the teardown");
  return ReportOutcome(registry, request.container_id(), outcome);
}

base::Result<int> RunDetached(const RunFlags& flags, Launched& launched) {
  TRY_ASSIGN(auto client, rpc::BlockingClient::Connect(launched.paths.MonitorSocket()));
  monitor::v1::ContainerRequest request;
  request.set_container_id(flags.container.options.id);
  auto started = client->Call<monitor::v1::Empty>(kMonitorService, "Start", request);
  if (!started) {
    base::Error error = launched.monitor.Explain(started.error(), launched.paths);
    ReportError(error.message());
    return StatusOfStartError(error);
  }
  TRY_CONTEXT(base::WriteFd(1, flags.container.options.id + "\n"), "standard output");
  return 0;
}

base::Status CheckFlags(const RunFlags& flags) {
  auto refuse = [](std::string text) {
    return base::Error(Code::kInvalidArgument, std::move(text));
  };
  if (!flags.name.empty()) TRY(CheckId(flags.name, "--name"));
  if (flags.detach && flags.auto_remove && !flags.timeline.empty())
    return refuse("--timeline: needs the run in the foreground, not --detach");
  if (flags.detach && !flags.timeline.empty())
    return refuse("--timeline: needs the run in the foreground, not --detach");
  if (flags.terminal && flags.interactive && !flags.detach && isatty(0) == 0)
    return refuse(
        "--tty: standard input is not a terminal; leave -t away to pipe into the container");
  return {};
}

base::Status WriteCidFile(const std::string& path, const std::string& id) {
  if (path.empty()) return {};
  TRY_ASSIGN_CONTEXT(auto file, base::Open(path, O_WRONLY | O_CREAT | O_EXCL, 0644), "--cidfile");
  return base::WriteFd(file.get(), id);
}

base::Result<int> Run(RunFlags& flags, const Global& global) {
  Timeline timeline("holt");
  TRY(CheckFlags(flags));
  ContainerOptions& options = flags.container.options;
  options.id = NewId();
  options.args.assign(flags.operands.begin() + 1, flags.operands.end());
  options.terminal = flags.terminal;
  if (auto size = flags.terminal ? GetTerminalSize(0) : std::nullopt)
    options.console_size = oci::ConsoleSize{.height = size->rows, .width = size->columns};
  TRY(flags.container.Finish());

  Launched launched;
  {
    timeline.Begin("look the image up");
    TRY_ASSIGN(HeldImage held, GetImage(global, flags, timeline));
    timeline.End("look the image up");
    TRY_ASSIGN(oci::Config config, ConvertToConfig(held.config, options));
    config.annotations[kStopTimeoutAnnotation] = fmt::format("{}", flags.stop_timeout);
    TRY_ASSIGN(Request request, MakeRequest(flags, held, global.store));
    request.command = DescribeCommand(config.process->args);
    request.debug = global.debug;
    timeline.Begin("choose the processor");
    TRY_ASSIGN(AccelChoice accel, ChooseAccel(flags.accel, global.root));
    timeline.End("choose the processor");
    request.accel = AccelName(accel.accel);
    request.qemu = accel.qemu;
    if (!accel.note.empty()) ReportNote(accel.note);
    TRY(FillInstallation(request));
    TRY(WriteCidFile(flags.cidfile, request.id));
    timeline.Begin("start the machine");
    ImageRoot root{.store = held.store.get(), .image = held.image};
    TRY_ASSIGN(CgroupChoice cgroup, ChooseCgroup(global.cgroup_manager, config, request.id));
    request.cgroup = cgroup.place;
    request.scope = cgroup.scope;
    request.overhead_bytes = global.machine_overhead;
    if (!cgroup.warning.empty()) ReportWarning(cgroup.warning);
    auto made = LaunchSandbox(global.registry(), request, config, root);
    if (!made && IsExecError(made.error())) {
      ReportError(made.error().message());
      return StatusOfStartError(made.error());
    }
    if (!made) return std::move(made).error();
    launched = std::move(*made);
    timeline.End("start the machine");
  }
  if (flags.detach) return RunDetached(flags, launched);
  bool detached = false;
  auto status = RunForeground(flags, global.registry(), launched, timeline, detached);
  if (!status) status = launched.monitor.Explain(status.error(), launched.paths);
  // Of a container that was never started nothing stays.
  launched.monitor.life.Reset();
  if (detached) return status;
  if (auto ended = launched.monitor.WaitForEnd(std::chrono::seconds(20)); !ended)
    ReportWarning(ended.error().message());
  timeline.End("wait for the teardown");
  if (!flags.timeline.empty())
    TRY(WriteTimelineFile(flags.timeline, timeline, launched.monitor.timeline));
  return status;
}

// The two forms of the command. runc's has runc's status for what fails before there is a process.
base::Result<int> RunEither(RunFlags& flags, const std::vector<std::string>& given,
                            const Global& global) {
  bool bundle = !flags.bundle.create.bundle.empty();
  auto status = [&]() -> base::Result<int> {
    TRY(CheckRunForm(given, bundle));
    if (!bundle) return Run(flags, global);
    flags.bundle.create.operands = flags.operands;
    flags.bundle.create.accel = flags.accel;
    return RunBundle(flags.bundle, flags.detach, global);
  }();
  if (status || !bundle) return status;
  ReportError(status.error().message());
  return kStatusRuncFailed;
}

}  // namespace

Subcommand RunCommand() {
  return {
      .name = "run",
      .group = Group::kRun,
      .summary = "Run a command in a container of IMAGE, in a virtual machine of its own.",
      .define = [](Flags& flags) -> Body {
        auto run = std::make_shared<RunFlags>();
        run->accel = DefaultAccel();
        flags.Bool("-i, --interactive", run->interactive, "give it standard input");
        flags.Bool("-t, --tty", run->terminal, "give it a terminal; Ctrl-P Ctrl-Q leaves it alone");
        flags.Bool("-d, --detach", run->detach, "do not stay with it; print its id");
        flags.Bool("--rm", run->auto_remove, "remove it when it has ended");
        flags.String("--name", run->name, "NAME", "a name beside its id");
        flags.Choice("--pull", run->pull, {"missing", "always", "never"},
                     "when to fetch the image (missing)");
        flags.Bool("--tls-verify", run->tls_verify, "=false: any certificate, and plain http");
        flags.Choice("--accel", run->accel, {"auto", "kvm", "software"},
                     "the machine's processor (auto)");
        run->container.Define(flags);
        flags.Integer("--stop-timeout", run->stop_timeout, 0, 86400, "SECONDS",
                      "how long `holt stop` waits before it kills (10)");
        flags.String("--cidfile", run->cidfile, "FILE",
                     "write the id to FILE, which must not exist");
        flags.String("--timeline", run->timeline, "FILE",
                     "write what the run spent its time on: JSON, and a picture as FILE.svg");
        run->bundle.Define(flags);
        flags.Operands("IMAGE [COMMAND [ARG...]] | --bundle DIR ID", 1, SIZE_MAX, run->operands);
        flags.StopAtFirstOperand();
        // The flags outlive the body, which runs once they were read.
        return
            [run, &flags](const Global& global) { return RunEither(*run, flags.given(), global); };
      },
      .error_status = kStatusHoltFailed,
      .notes =
          "Exit status: the command's; 128 and the signal that ended it; 125 when holt failed, 126 "
          "when\n"
          "the command cannot be executed, 127 when it does not exist. With --bundle, runc's form "
          "for\n"
          "engines: the process's, or 1.",
  };
}

}  // namespace holt::shim::cli
