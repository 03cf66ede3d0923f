// holt create: an OCI bundle's container in a machine of its own, up to the moment before exec.
#include "shim/cli/create.h"

#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "oci/unsupported.h"
#include "shim/cgroup/choose.h"
#include "shim/cli/container.h"
#include "shim/cli/descriptors.h"
#include "shim/cli/notify.h"
#include "shim/cli/pid_file.h"
#include "shim/cli/report.h"
#include "shim/cli/subcommands.h"
#include "shim/hooks/hooks.h"
#include "shim/network/config.h"
#include "shim/network/net_devices.h"
#include "shim/run/accel.h"
#include "shim/run/conmon.h"
#include "shim/run/convert.h"
#include "shim/run/launch.h"
#include "shim/run/sizing.h"
#include "shim/state/notify_socket.h"
#include "shim/state/sockets.h"
#include "shim/stub/start.h"

namespace holt::shim::cli {
namespace {

using base::Code;
using base::MakeError;

std::string In(const std::string& directory, const std::string& path) {
  return path.empty() || path[0] == '/' ? path : directory + "/" + path;
}

base::Result<oci::Config> ReadBundle(const std::string& bundle) {
  std::string path = bundle + "/config.json";
  TRY_ASSIGN(std::string text, base::ReadFile(path, oci::kMaxConfigBytes));
  TRY_ASSIGN_CONTEXT(oci::Config config, oci::ParseConfig(text), path);
  TRY_CONTEXT(oci::CheckSupported(config), path);
  if (!config.process) return MakeError(Code::kInvalidArgument, "{}: process: is required", path);
  if (!config.root) return MakeError(Code::kInvalidArgument, "{}: root: is required", path);
  for (oci::Mount& mount : config.mounts) {
    bool bind = mount.type == "bind";
    for (const std::string& option : mount.options)
      bind = bind || option == "bind" || option == "rbind";
    if (bind) mount.source = In(bundle, mount.source);
  }
  return config;
}

base::Status CheckFlags(const CreateFlags& flags, const oci::Config& config, bool foreground) {
  bool terminal = config.process->terminal;
  if (terminal && !foreground && flags.console_socket.empty())
    return MakeError(Code::kInvalidArgument,
                     "process.terminal: a container with a terminal needs --console-socket");
  if (!terminal && !flags.console_socket.empty())
    return MakeError(Code::kInvalidArgument, "--console-socket: process.terminal is not set");
  if (foreground && !flags.console_socket.empty())
    return MakeError(Code::kInvalidArgument,
                     "--console-socket: without --detach the container has this terminal");
  return {};
}

// prestart, createRuntime and createContainer hooks; `pid` stands for the container's process.
base::Status RunHooksOfCreation(const Global& global, const std::string& id,
                                const CreatedContainer& created, pid_t pid) {
  if (!created.hooks) return {};
  TRY_ASSIGN(Sandbox sandbox, global.registry().Find(id));
  sandbox.record.pid = pid;
  return RunCreateHooks(*created.hooks, sandbox.record);
}

// What a creation that failed late leaves is destroyed as a container is, poststop hooks included.
void Undo(const Global& global, const std::string& id) {
  auto sandbox = global.registry().Find(id);
  if (sandbox) (void)RemoveContainer(global, *sandbox, true);
}

base::Result<int> Create(const CreateFlags& flags, const Global& global) {
  TRY_ASSIGN(CreatedContainer created, CreateWithStub(flags, global));
  if (!created.warning.empty()) ReportWarning(created.warning);
  return 0;
}

}  // namespace

void CreateFlags::Define(Flags& flags, std::string_view bundle_help) {
  flags.String("-b, --bundle", bundle, "DIR", bundle_help);
  flags.String("--pid-file", pid_file, "FILE", "gets the number of the container's process");
  flags.String("--console-socket", console_socket, "SOCKET", "gets the master of its terminal");
  flags.Integer("--preserve-fds", preserve_fds, 0, 1024, "N",
                "its process has descriptors 3 to 2 + N, too: pipes, stream sockets, /dev/null");
  flags.Bool("--no-pivot", ignored, "without meaning in a machine: its root is always pivoted to");
  flags.Bool("--no-new-keyring", ignored, "without meaning in a machine: it always gets one");
}

base::Result<CreatedContainer> CreateFromBundle(const CreateFlags& flags, const Global& global,
                                                BundleUse use) {
  const std::string& id = flags.id();
  TRY(CheckId(id));
  std::error_code error;
  std::string bundle = std::filesystem::canonical(flags.bundle, error).string();
  if (error) return base::ErrnoError(error.value(), "--bundle " + flags.bundle);
  TRY_ASSIGN(oci::Config config, ReadBundle(bundle));
  TRY(CheckFlags(flags, config, use.foreground));
  const int64_t listening = ListenDescriptors();
  TRY_ASSIGN(const auto descriptors, TakeDescriptors(listening + flags.preserve_fds));
  TellOfListening(listening, *config.process);

  Request request;
  request.id = id;
  request.bundle = bundle;
  request.persist = ConmonsPersistDir(
      base::ReadFile(fmt::format("/proc/{}/cmdline", getppid()), 1 << 20).value_or(""));
  request.rootfs = In(bundle, config.root->path);
  request.command = DescribeCommand(config.process->args);
  TRY_ASSIGN(uint64_t host_memory, HostMemory());
  TRY_ASSIGN(MachineSize size, MachineFor(config, host_memory));
  request.memory_bytes = size.memory_bytes;
  request.vcpus = size.vcpus;
  request.stdin_open = true;
  request.auto_remove = use.auto_remove;
  // Otherwise the command ends, and the container waits for its start.
  request.foreground = use.foreground;
  request.debug = global.debug;
  request.created_unix_nanos = NowUnixNanos();
  TRY_ASSIGN(AccelChoice accel, ChooseAccel(flags.accel, global.root));
  request.accel = AccelName(accel.accel);
  request.qemu = accel.qemu;
  TRY(FillInstallation(request));
  if (config.vm && config.vm->kernel) {
    request.kernel = config.vm->kernel->path;
    TRY_CONTEXT(CheckKernelFile(request.kernel), "vm.kernel.path");
  }
  TRY_ASSIGN(CgroupChoice cgroup, ChooseCgroup(global.cgroup_manager, config, id));
  request.cgroup = cgroup.place;
  request.scope = cgroup.scope;
  request.overhead_bytes = global.machine_overhead;
  CreatedContainer created;
  created.terminal = config.process->terminal;
  created.warning = std::move(cgroup.warning);
  created.apparmor_profile = config.process->apparmor_profile;
  auto warn = [&](const std::string& text) {
    if (!text.empty()) created.warning += (created.warning.empty() ? "" : "; ") + text;
  };
  warn(TakeNotifySocket(config, request));
  const auto notify = FindNotifyVariable(config);
  for (const std::string& socket : DeafSockets(config))
    if (!notify || notify->path != socket)
      warn(fmt::format(
          "{}: nobody answers at this socket in the container; annotation {} names those that are "
          "to lead to the host",
          socket, kSocketsAnnotation));
  created.hooks = config.hooks;
  if (const oci::Namespace* network = oci::FindNamespace(config, "network"))
    request.network_namespace = network->path;
  if (config.linux_) created.net_devices = config.linux_->net_devices;
  TRY_ASSIGN(created.network, network::NamespaceOf(config));
  TRY_ASSIGN(created.launched, LaunchSandbox(global.registry(), request, config, std::nullopt,
                                             created.network.get(), Numbers(descriptors)));
  return created;
}

base::Status AddStub(const CreateFlags& flags, const Global& global,
                     const CreatedContainer& created, int holder) {
  StubOptions stub;
  TRY_ASSIGN(stub.installation, FindInstallation());
  stub.paths = created.launched.paths;
  stub.container_id = flags.id();
  stub.terminal = created.terminal;
  stub.console_socket = flags.console_socket;
  stub.apparmor_profile = created.apparmor_profile;
  stub.network = created.network.get();
  stub.holder = holder;
  TRY_ASSIGN(pid_t pid, StartStub(stub));
  TRY(network::MoveNetDevices(created.net_devices, created.network.get()));
  TRY(RunHooksOfCreation(global, flags.id(), created, pid));
  return WritePidFile(flags.pid_file, pid);
}

base::Result<CreatedContainer> CreateWithStub(const CreateFlags& flags, const Global& global) {
  TRY_ASSIGN(CreatedContainer created, CreateFromBundle(flags, global, {}));
  if (auto added = AddStub(flags, global, created, -1); !added) {
    Undo(global, flags.id());
    return std::move(added).error();
  }
  return created;
}

Subcommand CreateCommand() {
  return {
      .name = "create",
      .group = Group::kRuntime,
      .summary = "Create a container from an OCI bundle.",
      .define = [](Flags& flags) -> Body {
        auto create = std::make_shared<CreateFlags>();
        create->accel = DefaultAccel();
        create->bundle = ".";
        create->Define(flags, "the directory of config.json (.)");
        flags.Choice("--accel", create->accel, {"auto", "kvm", "software"},
                     "the machine's processor (auto)");
        flags.Operands("ID", 1, 1, create->operands);
        return [create](const Global& global) { return Create(*create, global); };
      },
  };
}

}  // namespace holt::shim::cli
