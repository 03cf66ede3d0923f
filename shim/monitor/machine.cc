#include "shim/monitor/machine.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <linux/fs.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "base/socket.h"
#include "rpc/vmm.pb.h"
#include "shim/run/qemu_version.h"
#include "vmm/cpu/software.h"

namespace holt::shim {
namespace {

using base::UniqueFd;

constexpr char kService[] = "holt.vmm.v1.Vmm";
constexpr size_t kConsoleBytes = 64 << 10;
constexpr char kShareTag[] = "holt";
constexpr uint32_t kGuestCid = 3;
// holt-vmm waits for nothing to put a disk in; to take it away, for what the host's device has
// begun.
constexpr std::chrono::seconds kPlugPatience{10};
constexpr std::chrono::seconds kUnplugPatience{60};

// Descriptors as a child will see them, numbered from 3.
class ChildFds {
 public:
  explicit ChildFds(base::SpawnOptions& options) : options_(options) {}
  int Add(int fd) {
    options_.fds.emplace_back(fd, next_);
    return next_++;
  }

 private:
  base::SpawnOptions& options_;
  int next_ = 3;
};

std::string NetworkSocket(size_t device) { return fmt::format("net{}.sock", device); }

base::Result<UniqueFd> OpenKvm() {
  auto fd = base::Open("/dev/kvm", O_RDWR);
  if (fd) return fd;
  const char* mend = fd.error().err() == ENOENT
                         ? "the host has no KVM (or its module is not loaded)"
                         : "this user may not use KVM";
  return fd.error().Wrap(mend);
}

std::string LastLine(const std::string& text) {
  size_t end = text.find_last_not_of("\r\n ");
  if (end == std::string::npos) return "";
  size_t begin = text.find_last_of('\n', end);
  begin = begin == std::string::npos ? 0 : begin + 1;
  return base::log::Sanitize(text.substr(begin, std::min<size_t>(end + 1 - begin, 300)));
}

base::Error NotRunning() {
  return base::Error(base::Code::kFailedPrecondition, "the machine is not running");
}

}  // namespace

// Both ends of everything that joins the processes, until each has its own.
struct Machine::Wiring {
  std::pair<UniqueFd, UniqueFd> control;  // monitor, vmm
  std::pair<UniqueFd, UniqueFd> fs;       // front end, fsd
  std::pair<UniqueFd, UniqueFd> vsock;    // vmm (back end), QEMU
  std::pair<UniqueFd, UniqueFd> qmp;      // vmm, QEMU
  std::pair<UniqueFd, UniqueFd> console;  // vmm, QEMU
  std::vector<UniqueFd> networks;         // software: vmm's listener for each device
  std::pair<UniqueFd, UniqueFd> passt;    // vmm, passt
  // software: vmm (back end), QEMU; the spare ones last
  std::vector<std::pair<UniqueFd, UniqueFd>> disks;
  UniqueFd console_write;  // vmm's end of our console pipe
  UniqueFd kernel;
  UniqueFd initramfs;
  UniqueFd kvm;
  vmm::v1::CreateRequest create;
};

Machine::~Machine() { Kill(); }

base::Status Machine::Start(const MachineSpec& spec, OnChange on_change) {
  on_change_ = std::move(on_change);
  Wiring wiring;
  TRY_ASSIGN_CONTEXT(wiring.kernel, base::Open(spec.kernel, O_RDONLY), "guest kernel");
  TRY_ASSIGN_CONTEXT(wiring.initramfs, base::Open(spec.initramfs, O_RDONLY), "guest initramfs");
  TRY_ASSIGN(wiring.control, base::SocketPair());
  TRY_ASSIGN(wiring.fs, base::SocketPair());
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) return HOLT_ERRNO("pipe");
  console_pipe_ = UniqueFd(pipe_fds[0]);
  wiring.console_write = UniqueFd(pipe_fds[1]);
  TRY(base::SetNonblocking(console_pipe_.get(), true));
  TRY(loop_.AddFd(console_pipe_.get(), EPOLLIN, [this](uint32_t) { ReadConsole(); }));

  TRY_ASSIGN(spare_disks_, SpareDisks::Create(spec.spare_disks, spec.vcpus));
  if (!spec.passt.empty()) TRY(StartPasst(spec, wiring));
  if (spec.accel == Accel::kKvm) {
    TRY_ASSIGN(wiring.kvm, OpenKvm());
  } else {
    TRY_ASSIGN(wiring.vsock, base::SocketPair());
    TRY_ASSIGN(wiring.qmp, base::SocketPair());
    TRY_ASSIGN(wiring.console, base::SocketPair());
    for (size_t i = 0; i < spec.disks.size() + spec.spare_disks; ++i) {
      TRY_ASSIGN(auto pair, base::SocketPair());
      wiring.disks.push_back(std::move(pair));
    }
    timeline_.Begin("start QEMU");
    TRY(ListenForNetworks(spec, wiring));
    TRY(StartQemu(spec, wiring));
    timeline_.End("start QEMU");
  }
  timeline_.Begin("start holt-vmm");
  TRY(StartVmm(spec, wiring));
  timeline_.End("start holt-vmm");
  TRY_ASSIGN(control_, rpc::Client::Create(loop_, std::move(wiring.control.first)));
  fs_socket_ = std::move(wiring.fs.second);
  CreateAndStart(spec, wiring);
  return {};
}

base::Status Machine::StartFileServer(const MachineSpec& spec) {
  timeline_.Begin("start holt-fsd");
  base::SpawnOptions options;
  options.argv = {spec.libexec + "/holt-fsd", "--shared-dir", spec.share_directory, "--cache",
                  spec.shared_writers ? "auto" : "always"};
  if (spec.debug) options.argv.insert(options.argv.end(), {"--log-level", "debug"});
  ChildFds fds(options);
  options.argv.insert(options.argv.end(),
                      {"--socket-fd", fmt::format("{}", fds.Add(fs_socket_.get()))});
  std::pair<UniqueFd, UniqueFd> changes;
  if (!spec.watched.empty()) {
    TRY_ASSIGN(changes, base::SocketPair());
    options.argv.insert(options.argv.end(),
                        {"--changes-fd", fmt::format("{}", fds.Add(changes.second.get())),
                         "--changes-uid", fmt::format("{}", spec.vmm_uid)});
    for (const std::string& path : spec.watched)
      options.argv.insert(options.argv.end(), {"--watch", path});
  }
  TRY_ASSIGN(fsd_,
             Child::Start(loop_, "holt-fsd", std::move(options), [this] { ProcessEnded(fsd_); }));
  fs_socket_.Reset();
  changes_ = std::move(changes.first);
  timeline_.End("start holt-fsd");
  return {};
}

base::Status Machine::ListenForNetworks(const MachineSpec& spec, Wiring& wiring) {
  for (size_t i = 0; i < spec.network_devices.size(); ++i) {
    const std::string path = spec.vsock_path + "/" + NetworkSocket(i);
    TRY_ASSIGN(UniqueFd listener, base::ListenUnix(path, 1));
    if (chown(path.c_str(), spec.qemu_uid, spec.qemu_uid) != 0) return HOLT_ERRNO("chown {}", path);
    wiring.networks.push_back(std::move(listener));
  }
  return {};
}

base::Status Machine::StartPasst(const MachineSpec& spec, Wiring& wiring) {
  timeline_.Begin("start passt");
  TRY_ASSIGN(wiring.passt, base::SocketPair());
  base::SpawnOptions options;
  ChildFds fds(options);
  options.argv = network::PasstArgv(spec.passt, fds.Add(wiring.passt.second.get()), spec.vmm_uid,
                                    spec.families, spec.published);
  options.working_directory = "/";
  TRY_ASSIGN(passt_,
             Child::Start(loop_, "passt", std::move(options), [this] { ProcessEnded(passt_); }));
  timeline_.End("start passt");
  return {};
}

base::Status Machine::StartQemu(const MachineSpec& spec, Wiring& wiring) {
  base::SpawnOptions options;
  ChildFds fds(options);
  vmm::SoftwareSpec machine;
  machine.qemu = spec.qemu;
  machine.vcpus = spec.vcpus;
  if (spec.vcpus > 1) {
    TRY_ASSIGN(const QemuVersion version, QemuVersionOf(spec.qemu, spec.qemu_uid));
    machine.parallel = version >= kParallelQemu;
  }
  machine.memory_bytes = spec.memory_bytes;
  machine.cmdline = spec.cmdline;
  machine.kernel_fd = fds.Add(wiring.kernel.get());
  machine.initramfs_fd = fds.Add(wiring.initramfs.get());
  machine.console_fd = fds.Add(wiring.console.second.get());
  machine.qmp_fd = fds.Add(wiring.qmp.second.get());
  machine.vsock_fd = fds.Add(wiring.vsock.second.get());
  machine.shares.push_back({kShareTag, fds.Add(wiring.fs.first.get())});
  for (size_t i = 0; i < spec.network_devices.size(); ++i) {
    const network::Attachment::Device& device = spec.network_devices[i];
    machine.nets.push_back({fds.Add(spec.vsock_directory), NetworkSocket(i),
                            fmt::format("{:02x}", fmt::join(device.mac, ":")),
                            static_cast<uint32_t>(std::max<size_t>(device.tap_queues.size(), 1))});
  }
  for (const auto& disk : wiring.disks) machine.disk_fds.push_back(fds.Add(disk.second.get()));
  TRY_ASSIGN_CONTEXT(options.argv, vmm::SoftwareArgv(machine), "QEMU");
  options.uid = spec.qemu_uid;
  options.gid = spec.qemu_uid;
  options.no_new_privileges = true;
  options.working_directory = "/";
  TRY_ASSIGN(qemu_,
             Child::Start(loop_, "QEMU", std::move(options), [this] { ProcessEnded(qemu_); }));
  return {};
}

base::Status Machine::StartVmm(const MachineSpec& spec, Wiring& wiring) {
  base::SpawnOptions options;
  ChildFds fds(options);
  options.argv = {spec.libexec + "/holt-vmm", "--control-fd",
                  fmt::format("{}", fds.Add(wiring.control.second.get()))};
  if (spec.debug) options.argv.insert(options.argv.end(), {"--log-level", "debug"});
  vmm::v1::VmSpec& vm = *wiring.create.mutable_vm();
  vm.set_accel(spec.accel == Accel::kKvm ? vmm::v1::ACCEL_KVM : vmm::v1::ACCEL_SOFTWARE);
  vm.set_vcpus(spec.vcpus);
  vm.set_memory_bytes(spec.memory_bytes);
  vm.set_cmdline(spec.cmdline);
  vm.set_console_fd(fds.Add(wiring.console_write.get()));
  vm.mutable_vsock()->set_guest_cid(kGuestCid);
  vm.mutable_vsock()->set_listen_fd(fds.Add(spec.vsock_listener));
  vm.mutable_vsock()->set_directory_fd(fds.Add(spec.vsock_directory));
  vm.mutable_vsock()->set_name(spec.vsock_name);
  for (size_t i = 0; i < spec.network_devices.size(); ++i) {
    const network::Attachment::Device& device = spec.network_devices[i];
    vmm::v1::Net* net = vm.add_nets();
    if (device.tap_queues.empty()) net->set_stream_fd(fds.Add(wiring.passt.first.get()));
    for (int queue : device.tap_queues) {
      if (net->tap_fd() == 0)
        net->set_tap_fd(fds.Add(queue));
      else
        net->add_more_tap_fds(fds.Add(queue));
    }
    net->set_mac(device.mac.data(), device.mac.size());
    if (i < wiring.networks.size())
      net->set_vhost_user_listen_fd(fds.Add(wiring.networks[i].get()));
  }
  for (size_t i = 0; i < spec.disks.size(); ++i) {
    vmm::v1::Disk* disk = vm.add_disks();
    disk->set_fd(fds.Add(spec.disks[i].fd));
    disk->set_read_only(spec.disks[i].read_only);
    disk->set_id(spec.disks[i].id);
    if (i < wiring.disks.size()) disk->set_vhost_user_fd(fds.Add(wiring.disks[i].first.get()));
  }
  for (size_t i = 0; i < spare_disks_.size(); ++i) {
    vmm::v1::SpareDisk* spare = vm.add_spare_disks();
    for (int ring : spare_disks_.RingsOf(i)) spare->add_ring_fds(fds.Add(ring));
    spare->set_ring_parameters(spare_disks_.ring_parameters(i));
    if (!wiring.disks.empty())
      spare->set_vhost_user_fd(fds.Add(wiring.disks[spec.disks.size() + i].first.get()));
  }
  if (spec.accel == Accel::kKvm) {
    vm.set_kvm_fd(fds.Add(wiring.kvm.get()));
    vm.set_kernel_fd(fds.Add(wiring.kernel.get()));
    vm.set_initramfs_fd(fds.Add(wiring.initramfs.get()));
    auto* share = vm.add_shares();
    share->set_tag(kShareTag);
    share->set_vhost_user_fd(fds.Add(wiring.fs.first.get()));
  } else {
    auto* software = vm.mutable_software();
    software->set_vsock_vhost_user_fd(fds.Add(wiring.vsock.first.get()));
    software->set_qmp_fd(fds.Add(wiring.qmp.first.get()));
    software->set_console_source_fd(fds.Add(wiring.console.first.get()));
  }
  options.uid = spec.vmm_uid;
  options.gid = spec.vmm_uid;
  options.no_new_privileges = true;
  options.working_directory = "/";
  TRY_ASSIGN(vmm_,
             Child::Start(loop_, "holt-vmm", std::move(options), [this] { ProcessEnded(vmm_); }));
  return {};
}

void Machine::CreateAndStart(const MachineSpec&, const Wiring& wiring) {
  auto guard = [this, alive = std::weak_ptr<bool>(alive_)] { return !alive.expired() && control_; };
  control_->Call<vmm::v1::Exit>(
      kService, "Wait", vmm::v1::Empty(), {}, [this, guard](base::Result<vmm::v1::Exit> exit) {
        // Lost with the connection: the end of the process tells more.
        if (!guard() || !exit) return;
        switch (exit->reason()) {
          case vmm::v1::Exit::PANIC:
            panic_ = base::log::Sanitize(exit->detail());
            break;
          case vmm::v1::Exit::SHUTDOWN:
            powered_off_ = true;
            vm_end_ = "the guest powered itself off";
            break;
          case vmm::v1::Exit::REBOOT:
            vm_end_ = "the guest reset itself";
            break;
          case vmm::v1::Exit::KILLED:
            vm_end_ = "the machine was killed";
            break;
          default:
            vm_end_ = "the machine failed: " + base::log::Sanitize(exit->detail());
        }
        Changed();
      });
  timeline_.Begin("set the machine up");
  control_->Call<vmm::v1::CreateResponse>(
      kService, "Create", wiring.create, {},
      [this, guard](base::Result<vmm::v1::CreateResponse> created) {
        if (!guard()) return;
        timeline_.End("set the machine up");
        if (!created) return StepFailed(created.error());
        control_->Call<vmm::v1::Empty>(kService, "Start", vmm::v1::Empty(), {},
                                       [this, guard](base::Result<vmm::v1::Empty> started) {
                                         if (guard() && !started) StepFailed(started.error());
                                       });
      });
}

void Machine::StepFailed(const base::Error& error) {
  // A connection that broke because holt-vmm died says less than its death.
  if (error.code() != base::Code::kUnavailable && error.code() != base::Code::kCancelled)
    step_error_ = base::log::Sanitize(error.message());
  Changed();
}

void Machine::ReadConsole() {
  char buffer[4096];
  while (console_pipe_) {
    ssize_t n = read(console_pipe_.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
      loop_.RemoveFd(console_pipe_.get());
      console_pipe_.Reset();
      return;
    }
    console_.append(buffer, static_cast<size_t>(n));
    if (console_.size() > 2 * kConsoleBytes) console_.erase(0, console_.size() - kConsoleBytes);
  }
}

void Machine::ProcessEnded(const std::unique_ptr<Child>& child) {
  std::string& end = child->wait_status() == 0 ? clean_end_ : process_end_;
  if (end.empty()) end = child->Describe();
  // Nobody uses them any more: the host's devices are free, however long the monitor lives.
  if (child == vmm_) spare_disks_ = {};
  Changed();
}

void Machine::Changed() {
  ended_ = true;
  if (on_change_) on_change_();
}

void Machine::AddEvidence(Evidence& evidence) const {
  if (!step_error_.empty()) evidence.step_error = step_error_;
  evidence.panic = panic_;
  evidence.vm_end = vm_end_;
  evidence.console_line = LastLine(console_);
  evidence.process_end = process_end_;
  if (evidence.vm_end.empty()) evidence.vm_end = clean_end_;
}

std::vector<ProcessIdentity> Machine::Processes() const {
  std::vector<ProcessIdentity> out;
  for (const auto* child : {&qemu_, &vmm_, &fsd_, &passt_}) {
    if (!*child) continue;
    // One that has ended already needs no cleaning up.
    if (auto process = IdentifyProcess((*child)->pid(), (*child)->name()); process)
      out.push_back(*process);
  }
  return out;
}

void Machine::Pause(std::function<void(base::Status)> done) {
  control_->Call<vmm::v1::Empty>(kService, "Pause", vmm::v1::Empty(), {},
                                 [done = std::move(done)](base::Result<vmm::v1::Empty> result) {
                                   done(result ? base::Status() : base::Status(result.error()));
                                 });
}

void Machine::Resume(std::function<void(base::Status)> done) {
  control_->Call<vmm::v1::Empty>(kService, "Resume", vmm::v1::Empty(), {},
                                 [done = std::move(done)](base::Result<vmm::v1::Empty> result) {
                                   done(result ? base::Status() : base::Status(result.error()));
                                 });
}

void Machine::AddDisk(const MachineSpec::Disk& disk, std::function<void(base::Status)> done) {
  if (!control_) return done(NotRunning());
  vmm::v1::PlugDiskRequest request;
  uint64_t bytes = 0;
  int block = 0;
  if (ioctl(disk.fd, BLKGETSIZE64, &bytes) != 0 || ioctl(disk.fd, BLKSSZGET, &block) != 0)
    return done(HOLT_ERRNO("disk {}: its size", disk.id));
  auto place = spare_disks_.Take(disk.id, disk.fd);
  if (!place) return done(place.error());
  request.set_spare(static_cast<uint32_t>(*place));
  request.set_id(disk.id);
  request.set_read_only(disk.read_only);
  request.set_bytes(bytes);
  request.set_block_bytes(static_cast<uint32_t>(block));
  control_->Call<vmm::v1::Empty>(
      kService, "PlugDisk", request, {.timeout = kPlugPatience},
      [this, place = *place, done = std::move(done),
       alive = std::weak_ptr<bool>(alive_)](base::Result<vmm::v1::Empty> plugged) {
        if (plugged) return done({});
        if (!alive.expired()) (void)spare_disks_.Free(place);
        done(std::move(plugged).error());
      });
}

void Machine::RemoveDisk(const std::string& id, std::function<void(base::Status)> done) {
  if (!control_) return done(NotRunning());
  const auto place = spare_disks_.Find(id);
  if (id.empty() || !place)
    return done(base::MakeError(base::Code::kNotFound, "the machine has no disk {}", id));
  vmm::v1::UnplugDiskRequest request;
  request.set_spare(static_cast<uint32_t>(*place));
  control_->Call<vmm::v1::Empty>(
      kService, "UnplugDisk", request, {.timeout = kUnplugPatience},
      [this, place = *place, done = std::move(done),
       alive = std::weak_ptr<bool>(alive_)](base::Result<vmm::v1::Empty> unplugged) {
        if (!unplugged) return done(std::move(unplugged).error());
        done(alive.expired() ? base::Status() : spare_disks_.Free(place));
      });
}

void Machine::Kill() {
  on_change_ = nullptr;
  alive_.reset();
  control_.reset();
  for (auto* child : {&qemu_, &vmm_, &fsd_, &passt_})
    if (*child) (*child)->Kill();
  // The destructors reap: in parallel, because all were killed first.
  qemu_.reset();
  vmm_.reset();
  fsd_.reset();
  passt_.reset();
  spare_disks_ = {};
  if (console_pipe_) {
    ReadConsole();
    if (console_pipe_) loop_.RemoveFd(console_pipe_.get());
    console_pipe_.Reset();
  }
}

}  // namespace holt::shim
