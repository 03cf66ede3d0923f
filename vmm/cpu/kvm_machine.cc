#include "vmm/cpu/kvm_machine.h"

#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "vmm/boot/boot.h"
#include "vmm/devices/blk.h"
#include "vmm/devices/console.h"
#include "vmm/devices/fs.h"
#include "vmm/devices/net.h"
#include "vmm/devices/rng.h"
#include "vmm/devices/vsock.h"

namespace holt::vmm {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using Reason = MachineExit::Reason;

namespace {

// The first pin of the IO-APIC that a device gets: below are those that PCs gave away long ago.
constexpr uint32_t kFirstGsi = 5;
constexpr size_t kMaxDevices = KvmVm::kGsiCount - kFirstGsi;
// A guest that said it panicked and does not end itself is ended.
constexpr std::chrono::seconds kPanicGrace{3};
constexpr size_t kMaxSerialBytes = 64 << 10;

}  // namespace

KvmMachine::KvmMachine(base::EventLoop& loop, base::UniqueFd console, ExitCallback on_exit)
    : loop_(loop),
      on_exit_(std::move(on_exit)),
      console_(std::move(console)),
      platform_({.on_event = [this](PlatformPorts::Event event) { OnPlatformEvent(event); },
                 .on_serial = [this](std::string_view bytes) { OnSerial(bytes); }}) {}

KvmMachine::~KvmMachine() {
  exited_ = true;
  loop_.CancelTimer(panic_timer_);
  threads_.reset();
}

Result<std::unique_ptr<Machine>> KvmMachine::Create(base::EventLoop& loop, MachineSpec spec,
                                                    ExitCallback on_exit) {
  std::unique_ptr<KvmMachine> machine(
      new KvmMachine(loop, std::move(spec.console), std::move(on_exit)));
  TRY(machine->SetUp(std::move(spec)));
  return std::unique_ptr<Machine>(std::move(machine));
}

Status KvmMachine::SetUp(MachineSpec spec) {
  // First of all: the kernel takes a lock for it that a busy cgroup makes dear.
  TRY_ASSIGN(vm_, KvmVm::Create(std::move(spec.kvm)));
  layout_ = LayoutFor(spec.memory_bytes);
  TRY_ASSIGN_CONTEXT(memory_, AllocateGuestMemory(layout_), "guest memory");
  TRY(vm_->SetMemory(memory_.memory));
  TRY(AddDevices(spec));
  BootOptions boot;
  boot.kernel = spec.kernel.get();
  boot.initramfs = spec.initramfs.get();
  boot.cmdline = spec.cmdline;
  boot.vcpus = spec.vcpus;
  boot.devices = places_;
  TRY_ASSIGN(BootEntry entry, PrepareBoot(*memory_.memory, layout_, boot));
  TRY_CONTEXT(platform_.AddTo(ports_), "ports");
  return CreateVcpus(spec.vcpus, entry);
}

Status KvmMachine::AddDevices(MachineSpec& spec) {
  ignored_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!ignored_) return HOLT_ERRNO("eventfd");
  TRY_CONTEXT(AddDevice(std::make_unique<ConsoleDevice>(loop_, console_)), "console");
  TRY_CONTEXT(AddDevice(std::make_unique<RngDevice>(loop_)), "rng");
  if (spec.vsock) TRY_CONTEXT(AddVsock(std::move(*spec.vsock)), "vsock");
  for (MachineSpec::ShareSpec& share : spec.shares) {
    const std::string name = "share " + share.tag;
    if (!share.vhost_user)
      return MakeError(Code::kInvalidArgument, "{} has no vhost-user descriptor", name);
    FsDevice::Options options;
    options.loop = &loop_;
    options.tag = share.tag;
    options.socket = std::move(share.vhost_user);
    options.vcpus = spec.vcpus;
    options.memory = memory_.memory;
    options.memory_fd = memory_.file.get();
    options.on_failed = [this, name](const base::Error& why) {
      FailLater(name + ": its server failed: " + why.message());
    };
    TRY_ASSIGN_CONTEXT(auto device, FsDevice::Create(std::move(options)), name);
    TRY_CONTEXT(AddDevice(std::move(device)), name);
  }
  for (size_t i = 0; i < spec.nets.size(); ++i)
    TRY_CONTEXT(AddNet(std::move(spec.nets[i])), fmt::format("net {}", i));
  for (MachineSpec::DiskSpec& disk : spec.disks)
    TRY_CONTEXT(AddDisk(std::move(disk.disk), spec.vcpus), "disk");
  for (MachineSpec::SpareDiskSpec& disk : spec.spare_disks)
    TRY_CONTEXT(AddSpareDisk(std::move(disk)), "spare disk");
  return {};
}

Status KvmMachine::AddDisk(BlkDisk disk, uint32_t vcpus) {
  TRY_ASSIGN(auto blk, Blk::Create(loop_, std::move(disk), vcpus));
  return AddDevice(std::make_unique<BlkDevice>(std::move(blk)));
}

Status KvmMachine::AddSpareDisk(MachineSpec::SpareDiskSpec spec) {
  TRY_ASSIGN(auto blk, Blk::CreateSpare(loop_, std::move(spec.rings)));
  Blk& spare = *blk;
  TRY(AddDevice(std::make_unique<BlkDevice>(std::move(blk))));
  MmioTransport& transport = *transports_.back();
  spare_disks_.Add(spare, [&transport](const auto& change) { transport.ChangeConfig(change); });
  return {};
}

Status KvmMachine::AddNet(MachineSpec::NetSpec spec) {
  TRY_ASSIGN(NetPairs pairs, MakeNetPairs(loop_, std::move(spec.ends)));
  auto device = std::make_unique<NetDevice>(spec.identity, std::move(pairs));
  nets_.push_back(device.get());
  return AddDevice(std::move(device));
}

Status KvmMachine::AddVsock(MachineSpec::VsockSpec spec) {
  if (spec.directory && fchdir(spec.directory.get()) != 0) return HOLT_ERRNO("vsock directory");
  Vsock::Options options;
  options.loop = &loop_;
  options.guest_cid = spec.guest_cid;
  options.listener = std::move(spec.listener);
  options.name = spec.directory ? spec.name : "";
  TRY_ASSIGN(auto vsock, Vsock::Create(std::move(options)));
  return AddDevice(std::make_unique<VsockDevice>(std::move(vsock)));
}

Status KvmMachine::AddDevice(std::unique_ptr<VirtioDevice> device) {
  const size_t number = transports_.size();
  if (number == kMaxDevices)
    return MakeError(Code::kResourceExhausted, "more than {} devices", kMaxDevices);
  MmioTransport::Options options;
  options.loop = &loop_;
  options.memory = memory_.memory;
  options.device = std::move(device);
  options.run_in_loop = [this](const std::function<void()>& call) { threads_->CallInLoop(call); };
  const std::string name(options.device->Name());
  options.on_failed = [this, name](const base::Error& why) {
    FailLater(name + ": " + why.message());
  };
  TRY_ASSIGN(auto transport, MmioTransport::Create(std::move(options)));
  MmioDevice place;
  place.address = kVirtioMmioStart + number * kVirtioMmioStride;
  place.bytes = kMmioBytes;
  place.gsi = kFirstGsi + static_cast<uint32_t>(number);
  TRY(mmio_.Add(place.address, place.bytes, transport.get()));
  TRY(vm_->AddInterrupt(place.gsi, transport->interrupt_fd()));
  const uint64_t kick = place.address + static_cast<uint64_t>(MmioRegister::kQueueNotify);
  for (size_t i = 0; i < transport->queue_count(); ++i)
    TRY(vm_->AddKick(kick, static_cast<uint32_t>(i), transport->kick_fd(i)));
  if (transport->device().External()) {
    // The acknowledgement of an interrupt that passed us by changes nothing: the kernel swallows
    // it.
    const uint64_t ack = place.address + static_cast<uint64_t>(MmioRegister::kInterruptAck);
    TRY(vm_->AddKick(ack, kInterruptUsedBuffer, ignored_.get()));
  }
  places_.push_back(place);
  transports_.push_back(std::move(transport));
  return {};
}

Status KvmMachine::CreateVcpus(uint32_t count, const BootEntry& entry) {
  std::vector<std::unique_ptr<Vcpu>> vcpus;
  for (uint32_t i = 0; i < count; ++i) {
    TRY_ASSIGN(auto vcpu, Vcpu::Create(*vm_, i, count, {.ports = &ports_, .memory = &mmio_}));
    vcpus.push_back(std::move(vcpu));
  }
  TRY(vcpus[0]->SetEntry(entry));
  TRY_ASSIGN(threads_,
             VcpuThreads::Create(loop_, std::move(vcpus), [this](const VcpuFailure& failure) {
               Exit(Reason::kError, failure.text);
             }));
  return {};
}

void KvmMachine::OnPlatformEvent(PlatformPorts::Event event) {
  loop_.Post([this, alive = std::weak_ptr(alive_), event] {
    if (!alive.expired()) OnEventInLoop(event);
  });
}

void KvmMachine::OnEventInLoop(PlatformPorts::Event event) {
  if (exited_) return;
  switch (event) {
    case PlatformPorts::Event::kPowerOff:
      return Exit(Reason::kShutdown, "");
    case PlatformPorts::Event::kReset:
      return Exit(Reason::kReboot, "");
    case PlatformPorts::Event::kPanic:
      // It has more to say before it resets itself.
      if (std::exchange(panicked_, true)) return;
      panic_timer_ = loop_.AddTimer(kPanicGrace, [this] { Exit(Reason::kReboot, ""); });
      return;
  }
}

void KvmMachine::OnSerial(std::string_view bytes) {
  std::lock_guard lock(serial_mutex_);
  const bool first = serial_.empty();
  if (serial_.size() < kMaxSerialBytes) serial_ += bytes;
  if (!first) return;
  loop_.Post([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) FlushSerial();
  });
}

void KvmMachine::FailLater(std::string why) {
  loop_.Post([this, alive = std::weak_ptr(alive_), why = std::move(why)] {
    if (!alive.expired()) Exit(Reason::kError, why);
  });
}

void KvmMachine::FlushSerial() {
  std::string bytes;
  {
    std::lock_guard lock(serial_mutex_);
    bytes.swap(serial_);
  }
  console_.Append(bytes);
}

void KvmMachine::Exit(Reason reason, std::string detail) {
  if (std::exchange(exited_, true)) return;
  loop_.CancelTimer(panic_timer_);
  if (threads_) {
    threads_->Stop();
    base::log::Debug("the vCPUs left the guest {} times", threads_->Exits());
  }
  // What the guest said before its end may still lie in its queues.
  for (auto& transport : transports_) transport->ServeQueues();
  FlushSerial();
  if (reason == Reason::kReboot && (panicked_ || !console_.panic_line().empty())) {
    reason = Reason::kPanic;
    detail = console_.panic_line().empty() ? "the guest's kernel panicked before its console worked"
                                           : console_.panic_line();
  }
  on_exit_({reason, std::move(detail)});
}

Status KvmMachine::Start() {
  if (exited_) return MakeError(Code::kFailedPrecondition, "the machine has ended");
  if (std::exchange(started_, true))
    return MakeError(Code::kFailedPrecondition, "the machine was started already");
  started_at_ = base::EventLoop::Clock::now();
  threads_->Run();
  return {};
}

Status KvmMachine::Pause() {
  if (!started_ || exited_)
    return MakeError(Code::kFailedPrecondition, "the machine is not running");
  if (!std::exchange(paused_, true)) threads_->Pause();
  return {};
}

Status KvmMachine::Resume() {
  if (!started_ || exited_)
    return MakeError(Code::kFailedPrecondition, "the machine is not running");
  if (std::exchange(paused_, false)) threads_->Run();
  return {};
}

void KvmMachine::Kill() { Exit(Reason::kKilled, "killed"); }

Result<MachineStats> KvmMachine::Stats() {
  if (!started_ || exited_)
    return MakeError(Code::kFailedPrecondition, "the machine is not running");
  MachineStats stats;
  stats.vcpu_nanos = threads_->CpuNanos();
  struct stat file {};
  if (fstat(memory_.file.get(), &file) != 0) return HOLT_ERRNO("guest memory");
  stats.memory_resident_bytes = static_cast<uint64_t>(file.st_blocks) * 512;
  for (const NetDevice* net : nets_) stats.nets.push_back(net->counters());
  stats.uptime_nanos = static_cast<uint64_t>(
      std::chrono::nanoseconds(base::EventLoop::Clock::now() - started_at_).count());
  return stats;
}

}  // namespace holt::vmm
