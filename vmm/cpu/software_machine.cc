#include "vmm/cpu/software_machine.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <array>

#include "base/file.h"
#include "base/log.h"

namespace holt::vmm {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using Reason = MachineExit::Reason;

SoftwareMachine::SoftwareMachine(base::EventLoop& loop, base::UniqueFd console,
                                 base::UniqueFd console_source, ExitCallback on_exit)
    : loop_(loop),
      on_exit_(std::move(on_exit)),
      console_(std::move(console)),
      console_source_(std::move(console_source)) {}

SoftwareMachine::~SoftwareMachine() {
  loop_.CancelTimer(kill_timer_);
  if (console_source_) loop_.RemoveFd(console_source_.get());
}

Result<std::unique_ptr<Machine>> SoftwareMachine::Create(base::EventLoop& loop, MachineSpec spec,
                                                         ExitCallback on_exit) {
  if (!spec.software.qmp || !spec.software.console_source)
    return MakeError(Code::kInvalidArgument,
                     "the software back end needs QMP and console descriptors");
  if (spec.vsock.has_value() != spec.software.vsock_vhost_user.valid())
    return MakeError(Code::kInvalidArgument,
                     "vsock needs a vhost-user descriptor, and the other way round");
  std::unique_ptr<SoftwareMachine> machine(new SoftwareMachine(
      loop, std::move(spec.console), std::move(spec.software.console_source), std::move(on_exit)));
  SoftwareMachine* raw = machine.get();

  TRY(base::SetNonblocking(raw->console_source_.get(), true));
  TRY_CONTEXT(
      loop.AddFd(raw->console_source_.get(), EPOLLIN, [raw](uint32_t) { raw->ReadConsole(); }),
      "console");

  Qmp::Handlers handlers;
  handlers.on_shutdown = [raw](const std::string& reason) { raw->OnShutdown(reason); };
  handlers.on_error = [raw](const std::string& command, const std::string& message) {
    raw->Exit(Reason::kError, fmt::format("QEMU refused {}: {}", command, message));
  };
  handlers.on_closed = [raw](const std::string& why) {
    raw->ReadConsole();
    raw->Exit(raw->killed_ ? Reason::kKilled : Reason::kError, why);
  };
  TRY_ASSIGN(raw->qmp_, Qmp::Create(loop, std::move(spec.software.qmp), std::move(handlers)));
  if (spec.vsock)
    TRY_CONTEXT(raw->ServeVsock(std::move(*spec.vsock), std::move(spec.software.vsock_vhost_user)),
                "vsock");
  for (size_t i = 0; i < spec.nets.size(); ++i)
    TRY_CONTEXT(raw->ServeNet(std::move(spec.nets[i])), fmt::format("net {}", i));
  for (MachineSpec::DiskSpec& disk : spec.disks) {
    TRY_ASSIGN_CONTEXT(auto blk, Blk::Create(loop, std::move(disk.disk), spec.vcpus), "disk");
    TRY_CONTEXT(raw->ServeDisk(std::move(blk), std::move(disk.vhost_user)), "disk");
  }
  for (MachineSpec::SpareDiskSpec& disk : spec.spare_disks)
    TRY_CONTEXT(raw->ServeSpareDisk(std::move(disk)), "spare disk");
  return std::unique_ptr<Machine>(std::move(machine));
}

Status SoftwareMachine::ServeNet(MachineSpec::NetSpec spec) {
  if (!spec.vhost_user_listener)
    return MakeError(Code::kInvalidArgument, "no vhost-user descriptor");
  TRY_ASSIGN(NetPairs pairs, MakeNetPairs(loop_, std::move(spec.ends)));
  TRY_ASSIGN(auto server, NetVhostUserServer::Create(loop_, std::move(spec.vhost_user_listener),
                                                     std::move(pairs)));
  nets_.push_back(std::move(server));
  return {};
}

Result<vhost_user::Backend*> SoftwareMachine::ServeDisk(std::unique_ptr<Blk> blk,
                                                        base::UniqueFd socket) {
  if (!socket) return MakeError(Code::kInvalidArgument, "no vhost-user descriptor");
  ServedDisk served;
  served.device = std::make_unique<BlkVhostUser>(std::move(blk));
  vhost_user::Backend::Options options;
  options.loop = &loop_;
  options.socket = std::move(socket);
  options.device = served.device.get();
  // QEMU's end is told by QMP, which knows the reason.
  options.on_closed = [](const base::Error& why) { base::log::Debug("disk: {}", why.message()); };
  TRY_ASSIGN(served.backend, vhost_user::Backend::Create(std::move(options)));
  disks_.push_back(std::move(served));
  return disks_.back().backend.get();
}

Status SoftwareMachine::ServeSpareDisk(MachineSpec::SpareDiskSpec spec) {
  TRY_ASSIGN(auto blk, Blk::CreateSpare(loop_, std::move(spec.rings)));
  Blk& spare = *blk;
  TRY_ASSIGN(vhost_user::Backend * backend, ServeDisk(std::move(blk), std::move(spec.vhost_user)));
  spare_disks_.Add(spare, [backend](const auto& change) {
    change();
    backend->TellConfigChanged();
  });
  return {};
}

Status SoftwareMachine::ServeVsock(MachineSpec::VsockSpec spec, base::UniqueFd socket) {
  if (spec.directory && fchdir(spec.directory.get()) != 0) return HOLT_ERRNO("vsock directory");
  Vsock::Options options;
  options.loop = &loop_;
  options.guest_cid = spec.guest_cid;
  options.listener = std::move(spec.listener);
  options.name = spec.directory ? spec.name : "";
  TRY_ASSIGN(auto vsock, Vsock::Create(std::move(options)));
  vsock_ = std::make_unique<VsockVhostUser>(std::move(vsock));
  vhost_user::Backend::Options backend;
  backend.loop = &loop_;
  backend.socket = std::move(socket);
  backend.device = vsock_.get();
  // QEMU's end is told by QMP, which knows the reason.
  backend.on_closed = [](const base::Error& why) { base::log::Debug("vsock: {}", why.message()); };
  TRY_ASSIGN(vsock_backend_, vhost_user::Backend::Create(std::move(backend)));
  return {};
}

void SoftwareMachine::ReadConsole() {
  std::array<char, 16384> bytes;
  // Bounded: a guest that never stops writing must not keep the loop to itself.
  for (int i = 0; console_source_ && i < 64; ++i) {
    ssize_t n = read(console_source_.get(), bytes.data(), bytes.size());
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (n <= 0) {
      loop_.RemoveFd(console_source_.get());
      console_source_.Reset();
      break;
    }
    console_.Append(std::string_view(bytes.data(), static_cast<size_t>(n)));
  }
}

void SoftwareMachine::OnShutdown(const std::string& reason) {
  // What the guest said before is in the socket already.
  ReadConsole();
  if (killed_) return Exit(Reason::kKilled, "killed");
  if (reason == "guest-shutdown") return Exit(Reason::kShutdown, "");
  if (reason == "guest-reset") {
    if (!console_.panic_line().empty()) return Exit(Reason::kPanic, console_.panic_line());
    // QEMU reports a triple fault in the same words.
    return Exit(Reason::kReboot, "");
  }
  Exit(Reason::kError, fmt::format("QEMU ended the machine: {}", reason));
}

void SoftwareMachine::Exit(Reason reason, std::string detail) {
  if (std::exchange(exited_, true)) return;
  on_exit_({reason, std::move(detail)});
}

Status SoftwareMachine::Start() {
  if (exited_) return MakeError(Code::kFailedPrecondition, "the machine has ended");
  if (std::exchange(started_, true))
    return MakeError(Code::kFailedPrecondition, "the machine was started already");
  qmp_->Execute("cont");
  return {};
}

Status SoftwareMachine::Pause() {
  if (!started_ || exited_)
    return MakeError(Code::kFailedPrecondition, "the machine is not running");
  qmp_->Execute("stop");
  return {};
}

Status SoftwareMachine::Resume() {
  if (!started_ || exited_)
    return MakeError(Code::kFailedPrecondition, "the machine is not running");
  qmp_->Execute("cont");
  return {};
}

void SoftwareMachine::Kill() {
  if (exited_ || std::exchange(killed_, true)) return;
  qmp_->Execute("quit");
  // A QEMU that does not listen is the monitor's to kill; the machine counts as ended.
  kill_timer_ =
      loop_.AddTimer(std::chrono::seconds(2), [this] { Exit(Reason::kKilled, "killed"); });
}

Result<MachineStats> SoftwareMachine::Stats() {
  return MakeError(Code::kUnsupported,
                   "statistics of the software back end are those of its QEMU process");
}

}  // namespace holt::vmm
