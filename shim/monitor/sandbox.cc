#include "shim/monitor/sandbox.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "base/socket.h"
#include "oci/unsupported.h"
#include "shim/monitor/service.h"
#include "vmm/boot/cmdline.h"

namespace holt::shim {
namespace {

using base::Code;
using namespace std::chrono_literals;

// Until the agent is ready. Eight machines at once on one emulated processor need 35 s, and a busy
// host more; a guest that hangs need not be known sooner.
constexpr int64_t kReadyDeadlineMs = 120'000;
// How often a monitor looks whether it may boot its machine: the oftener the longer it waits
// already, so that who came first is most likely to be next.
std::chrono::milliseconds TurnInterval(std::chrono::nanoseconds waited) {
  return 5ms + 95ms / (1 + std::chrono::duration_cast<std::chrono::seconds>(waited).count());
}
// What the kernel and the agent need beside their images: below this the guest dies before it can
// say why.
constexpr uint64_t kGuestOverhead = 32 << 20;

base::Status CheckMemory(const Request& request) {
  uint64_t images = 0;
  for (const std::string& path : {request.kernel, request.initramfs}) {
    TRY_ASSIGN(base::UniqueFd fd, base::Open(path, O_RDONLY));
    off_t size = lseek(fd.get(), 0, SEEK_END);
    if (size < 0) return HOLT_ERRNO("{}", path);
    images += static_cast<uint64_t>(size);
  }
  uint64_t needed = images + kGuestOverhead;
  if (request.memory_bytes >= needed) return {};
  return base::MakeError(
      Code::kInvalidArgument,
      "{} MiB of memory are too little for a machine: its kernel and agent need {} MiB",
      request.memory_bytes >> 20, (needed >> 20) + 1);
}

}  // namespace

Sandbox::Sandbox(base::EventLoop& loop, Options options)
    : loop_(loop),
      options_(std::move(options)),
      paths_(PathsOf(options_.root, options_.request.id)),
      record_(RecordOf(options_.request)),
      timeline_("holt-monitor"),
      outcome_(loop),
      share_(paths_),
      machine_(loop, timeline_) {
  const oci::Config& config = options_.config;
  record_.pid = getpid();
  record_.monitor_pid = getpid();
  record_.terminal = config.process && config.process->terminal;
  record_.oci_version = config.oci_version;
  record_.annotations = config.annotations;
  if (config.linux_ && config.linux_->resources) resources_ = *config.linux_->resources;
  record_.resources = oci::SerializeResources(resources_);
  if (auto self = IdentifyProcess(getpid(), "holt-monitor"); self) record_.processes = {*self};
  evidence_.stage = "start the machine";
}

void Sandbox::Begin() {
  timeline_.Add("holt-monitor", "start the monitor", options_.began_nanos, MonotonicNanos());
  auto gone = [this] {
    FailStart(base::Error(Code::kCancelled, "the command that started it went away"));
  };
  if (options_.outcome) {
    auto status = outcome_.Take(std::move(options_.outcome), gone);
    if (!status) return FailStart(status.error());
  }
  if (options_.life) {
    auto status = loop_.AddFd(options_.life.get(), EPOLLIN, [this, gone](uint32_t) {
      loop_.RemoveFd(options_.life.get());
      if (starting()) return gone();
      if (phase_ != Phase::kCreated) return;
      remove_ = true;
      Stop("the command that started it went away");
    });
    if (!status) return FailStart(status.error());
  }
  Save();
  timeline_.Begin("wait for a turn to boot");
  WaitForTurn();
}

void Sandbox::WaitForTurn() {
  turn_timer_ = 0;
  auto turn = BootTurn::Try();
  if (!turn) return FailStart(turn.error());
  boot_turn_ = std::move(*turn);
  if (!boot_turn_) {
    const std::chrono::nanoseconds waited(MonotonicNanos() - options_.began_nanos);
    turn_timer_ = loop_.AddTimer(TurnInterval(waited), [this] { WaitForTurn(); });
    return;
  }
  timeline_.End("wait for a turn to boot");
  if (auto status = StartAll(); !status) FailStart(status.error());
}

base::Status Sandbox::StartAll() {
  const Request& request = options_.request;
  TRY(oci::CheckSupported(options_.config));
  if (!options_.config.process)
    return base::Error(Code::kInvalidArgument, "config.json: process: is missing");
  TRY(CheckMemory(request));
  TRY(EnterCgroup());
  TRY_ASSIGN(uid_, UidLease::Take());
  record_.uid = uid_.uid();
  Save();

  timeline_.Begin("mount the share");
  TRY(EnterMountNamespace());
  TRY_CONTEXT(share_.Mount(), "share");
  timeline_.End("mount the share");
  AgentLink::Handlers handlers;
  handlers.on_ready = [this](base::Result<AgentLink::Ready> ready) {
    OnAgentReady(std::move(ready));
  };
  handlers.on_lost = [this] {
    evidence_.agent_lost = true;
    OnSomethingEnded();
  };
  TRY_ASSIGN(link_, AgentLink::Create(loop_, paths_.Vsock(), uid_.uid(), std::move(handlers)));
  TRY_CONTEXT(PrepareNetwork(), "network");
  TRY_ASSIGN(block_devices_, OpenBlockDevices(options_.config));
  MachineSpec machine = DescribeMachine();
  TRY_ASSIGN(machine.spare_disks, SpareDisksOf(options_.config, block_devices_.size()));
  TRY(StartMachine(machine));

  // The guest boots meanwhile.
  timeline_.Begin("mount the root file system");
  TRY(share_.AddContainer(request, options_.config, resolv_conf_));
  timeline_.End("mount the root file system");
  machine.watched = share_.watched();
  base::Status file_server = machine_.StartFileServer(machine);
  SaveProcesses();
  TRY(std::move(file_server));
  TRY_ASSIGN(log_, ContainerLog::Open(paths_.Log(), request.log_bytes));
  Container::Options container;
  TRY(AddSockets(container));
  TRY(AddNotifySocket(container));
  container.id = request.id;
  container.config_json = oci::SerializeConfig(ConfigForGuest());
  container.bundle = request.bundle;
  for (const BlockDevice& device : block_devices_)
    *container.block_devices.Add() = ForAgent(device, false);
  container.terminal = options_.config.process->terminal;
  container.stdin_open = request.stdin_open;
  if (auto size = options_.config.process->console_size; size) {
    container.rows = size->height;
    container.columns = size->width;
  }
  container_ = std::make_unique<Container>(loop_, *link_, std::move(container), &log_);
  container_->SetChanges(machine_.TakeChanges());
  if (!options_.descriptors.empty()) {
    TRY_ASSIGN(auto made, Descriptors::Make(loop_, std::move(options_.descriptors)));
    container_->init().SetDescriptors(std::move(made));
  }
  container_->init().OnExit([this](const ProcessExit& exit) { OnExit(exit); });
  return Serve();
}

MachineSpec Sandbox::DescribeMachine() const {
  const Request& request = options_.request;
  MachineSpec spec;
  spec.accel = request.accel == "kvm" ? Accel::kKvm : Accel::kSoftware;
  spec.memory_bytes = request.memory_bytes;
  spec.vcpus = request.vcpus;
  spec.kernel = request.kernel;
  spec.initramfs = request.initramfs;
  spec.cmdline = vmm::BaseKernelCmdline(spec.accel == Accel::kKvm ? vmm::CpuBackEnd::kKvm
                                                                  : vmm::CpuBackEnd::kSoftware);
  if (request.debug) spec.cmdline += " holt.log=debug";
  spec.libexec = request.libexec;
  spec.qemu = request.qemu;
  spec.share_directory = share_.directory();
  spec.shared_writers = HasVolumes(options_.config);
  if (network_) spec.network_devices = network_->Devices();
  if (!request.passt.empty()) {
    spec.passt = request.passt;
    spec.families = families_;
    spec.published = published_;
    spec.network_devices = {{.mac = network::kUserMac}};
  }
  for (const BlockDevice& device : block_devices_)
    spec.disks.push_back({device.fd.get(), device.read_only, device.id});
  spec.vsock_listener = link_->listener();
  spec.vsock_directory = link_->directory();
  spec.vsock_name = AgentLink::kSocketName;
  spec.vsock_path = paths_.Vsock();
  spec.vmm_uid = uid_.uid();
  spec.qemu_uid = uid_.uid();
  spec.debug = request.debug;
  return spec;
}

base::Status Sandbox::StartMachine(const MachineSpec& spec) {
  timeline_.Begin("boot the guest");
  auto status = machine_.Start(spec, [this] { OnSomethingEnded(); });
  link_->ReleaseListener();
  if (network_) network_->ReleaseTaps();
  // holt-vmm's alone from here on: they are free when it is gone, whoever else lives.
  for (BlockDevice& device : block_devices_) device.fd.Reset();
  SaveProcesses();
  TRY(std::move(status));
  int64_t wanted = options_.request.start_deadline_ms;
  evidence_.deadline_ms = wanted > 0 ? wanted : kReadyDeadlineMs;
  ready_timer_ = loop_.AddTimer(std::chrono::milliseconds(evidence_.deadline_ms), [this] {
    ready_timer_ = 0;
    evidence_.deadline_passed = true;
    Settle();
  });
  return {};
}

base::Status Sandbox::Serve() {
  TRY_ASSIGN(base::UniqueFd attach, base::ListenUnix(paths_.AttachSocket()));
  AttachServer::Handlers handlers;
  handlers.find = [this](const std::string& container, const std::string& exec) {
    return FindProcess(container, exec);
  };
  handlers.on_signal = [this](const std::string& exec, int signal) {
    Kill(exec, signal, false, [](base::Status status) {
      if (!status) base::log::Debug("signal from a client: {}", status.error().message());
    });
  };
  handlers.on_resize = [this](const std::string& exec, uint32_t rows, uint32_t columns) {
    if (Container* running = container(); running != nullptr)
      running->Resize(exec, rows, columns, [](base::Status) {});
  };
  handlers.on_stub = [this](const std::string& exec, pid_t pid) { OnStub(exec, pid); };
  handlers.on_stub_lost = [this](const std::string& exec) {
    // Its pid is the process's pid: whoever killed it meant the process.
    Kill(exec, SIGKILL, false, [](base::Status) {});
  };
  attach_ = std::make_unique<AttachServer>(loop_, std::move(handlers));
  TRY(attach_->Listen(std::move(attach)));
  TRY_ASSIGN(base::UniqueFd control, base::ListenUnix(paths_.MonitorSocket()));
  server_ = std::make_unique<rpc::Server>(loop_);
  RegisterMonitorService(*server_, *this);
  return server_->Listen(std::move(control));
}

void Sandbox::OnAgentReady(base::Result<AgentLink::Ready> ready) {
  if (!starting()) return;
  if (ready_timer_ != 0) loop_.CancelTimer(ready_timer_);
  ready_timer_ = 0;
  boot_turn_.reset();
  if (!ready) {
    evidence_.agent_error = base::log::Sanitize(ready.error().message());
    return Settle();
  }
  timeline_.End("boot the guest");
  ready_nanos_ = MonotonicNanos();
  guest_boot_us_ = ready->boot_us;
  if (ready->version != HOLT_VERSION)
    base::log::Info("the guest's agent is version {}, this is {}",
                    base::log::Sanitize(ready->version), HOLT_VERSION);
  evidence_.stage = "create the container";
  timeline_.Begin("create the sandbox");
  agent::v1::CreateSandboxRequest request;
  request.set_sandbox_id(options_.request.id);
  request.set_hostname(options_.config.hostname);
  request.set_time_unix_nanos(NowUnixNanos());
  link_->client()->Call<agent::v1::CreateSandboxResponse>(
      "holt.agent.v1.Agent", "CreateSandbox", request, {.timeout = 60s},
      [this](base::Result<agent::v1::CreateSandboxResponse> created) {
        if (!starting()) return;
        timeline_.End("create the sandbox");
        if (created) return CreateContainer();
        // A broken connection says less than what broke it.
        if (created.error().code() == Code::kUnavailable ||
            created.error().code() == Code::kCancelled)
          return OnSomethingEnded();
        FailStart(created.error().Wrap("create the sandbox"));
      });
}

void Sandbox::CreateContainer() {
  timeline_.Begin("create the container");
  container_->Create([this](base::Status created) {
    if (!starting()) return;
    timeline_.End("create the container");
    if (created) return OnCreated();
    if (created.error().code() == Code::kUnavailable || created.error().code() == Code::kCancelled)
      return OnSomethingEnded();
    FailStart(created.error());
  });
}

void Sandbox::OnCreated() {
  if (auto limited = cgroup_ ? cgroup_->ApplyBandwidth() : base::Status(); !limited)
    return FailStart(limited.error());
  phase_ = Phase::kCreated;
  evidence_.stage = "running";
  record_.status = "created";
  Save();
  outcome_.Created();
  // The guest has time for it until the start, which says it again.
  if (network_) ConfigureNetwork(network_->Nothing(), [](const base::Status&) {});
  WatchOom();
  if (options_.request.timeline) AddGuestTimeline();
}

void Sandbox::AddGuestTimeline() {
  link_->client()->Call<agent::v1::GuestInfoResponse>(
      "holt.agent.v1.Agent", "GuestInfo", agent::v1::Empty(), {.timeout = 5s},
      [this](base::Result<agent::v1::GuestInfoResponse> info) {
        if (!info) return;
        std::vector<std::pair<uint64_t, std::string>> steps;
        for (const auto& [name, end_us] : info->boot_timeline_us())
          steps.emplace_back(end_us, base::log::Sanitize(name));
        std::sort(steps.begin(), steps.end());
        int64_t origin = ready_nanos_ - guest_boot_us_ * 1000;
        int64_t begin = origin;
        for (const auto& [end_us, name] : steps) {
          int64_t end = std::min(origin + static_cast<int64_t>(end_us) * 1000, ready_nanos_);
          timeline_.Add("guest", name, begin, end);
          begin = end;
        }
      });
}

void Sandbox::Start(const monitor::v1::StartRequest& request, Done done) {
  if (phase_ != Phase::kCreated) {
    std::string_view why = phase_ == Phase::kBooting ? "is still being created"
                           : phase_ == Phase::kStarting || phase_ == Phase::kRunning
                               ? "is running already"
                               : "has stopped";
    return done(
        base::MakeError(Code::kFailedPrecondition, "cannot start the container: it {}", why));
  }
  phase_ = Phase::kStarting;
  start_done_ = std::move(done);
  OpenNotify(request);
  AttachNetwork([this](base::Status attached) {
    if (!attached || phase_ != Phase::kStarting) return OnStarted(std::move(attached));
    timeline_.Begin("start the container");
    container_->Start([this](base::Status status) { OnStarted(std::move(status)); });
  });
}

void Sandbox::OnStarted(base::Status status) {
  timeline_.End("start the container");
  auto done = std::move(start_done_);
  start_done_ = nullptr;
  if (phase_ != Phase::kStarting) {
    // It ended meanwhile.
    if (done) done(std::move(status));
    return;
  }
  if (!status) {
    Code code = status.error().code();
    if (code == Code::kUnavailable || code == Code::kCancelled) {
      start_done_ = std::move(done);
      return OnSomethingEnded();
    }
    ProcessExit exit;
    exit.status = code == Code::kNotFound           ? 127
                  : code == Code::kPermissionDenied ? 126
                                                    : Container::kFailedStatus;
    exit.error = base::log::Sanitize(status.error().message());
    if (done) done(std::move(status));
    return EndRunning(exit);
  }
  phase_ = Phase::kRunning;
  record_.status = "running";
  record_.started_unix_nanos = NowUnixNanos();
  Save();
  timeline_.Begin("run");
  if (done) done({});
}

void Sandbox::OnStub(const std::string& exec_id, pid_t pid) {
  if (!exec_id.empty()) {
    if (Process* process = container_->Find(exec_id)) process->SetStub(pid);
    return;
  }
  record_.pid = pid;
  Save();
}

void Sandbox::Kill(const std::string& exec_id, int signal, bool all, Done done) {
  if (phase_ == Phase::kExited || phase_ == Phase::kTeardown)
    return done(base::Error(Code::kNotFound, "container not running"));
  if (phase_ == Phase::kBooting)
    return done(base::Error(Code::kFailedPrecondition, "the container is still being created"));
  container_->Signal(exec_id, signal, all, std::move(done));
}

base::Result<std::shared_ptr<Descriptors>> Sandbox::TakeDescriptors(const std::string& exec_id,
                                                                    size_t count) {
  if (count == 0 || !attach_) return std::shared_ptr<Descriptors>();
  std::vector<base::UniqueFd> given = attach_->TakeDescriptors(exec_id);
  if (given.size() != count)
    return base::MakeError(Code::kInvalidArgument, "{} of {} descriptors were handed over",
                           given.size(), count);
  TRY_ASSIGN(auto made, Descriptors::Make(loop_, std::move(given)));
  return std::shared_ptr<Descriptors>(std::move(made));
}

void Sandbox::Exec(const Container::ExecOptions& options,
                   std::function<void(base::Result<int32_t>)> done) {
  if (phase_ != Phase::kRunning)
    return done(base::Error(Code::kFailedPrecondition,
                            phase_ == Phase::kCreated || phase_ == Phase::kStarting
                                ? "the container is not started"
                                : "container not running"));
  if (paused())
    return done(base::Error(Code::kFailedPrecondition,
                            "cannot exec in a paused container (use --ignore-paused to override)"));
  container_->Exec(options, std::move(done));
}

base::Result<Process*> Sandbox::FindProcess(const std::string& id, const std::string& exec_id) {
  if (id != options_.request.id)
    return base::MakeError(Code::kNotFound, "container \"{}\" does not exist", id);
  if (container() == nullptr) return base::Error(Code::kNotFound, "container not running");
  Process* process = container_->Find(exec_id);
  if (process == nullptr)
    return base::MakeError(Code::kNotFound, "exec \"{}\": no such process", exec_id);
  return process;
}

Container* Sandbox::container() { return phase_ == Phase::kTeardown ? nullptr : container_.get(); }

void Sandbox::SaveProcesses() {
  record_.processes.resize(std::min<size_t>(record_.processes.size(), 1));  // the monitor itself
  for (ProcessIdentity& process : machine_.Processes())
    record_.processes.push_back(std::move(process));
  Save();
}

void Sandbox::Save() {
  if (auto status = WriteRecord(paths_.State(), record_); !status)
    base::log::Error("{}", status.error().message());
}

}  // namespace holt::shim
