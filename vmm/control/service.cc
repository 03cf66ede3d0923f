#include "vmm/control/service.h"

#include "base/log.h"
#include "vmm/control/spec.h"
#include "vmm/cpu/kvm_machine.h"
#include "vmm/cpu/software_machine.h"
#include "vmm/jail/privileges.h"
#include "vmm/jail/seccomp.h"

namespace holt::vmm {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

constexpr char kService[] = "holt.vmm.v1.Vmm";

v1::Exit::Reason ToProto(MachineExit::Reason reason) {
  switch (reason) {
    case MachineExit::Reason::kShutdown:
      return v1::Exit::SHUTDOWN;
    case MachineExit::Reason::kReboot:
      return v1::Exit::REBOOT;
    case MachineExit::Reason::kPanic:
      return v1::Exit::PANIC;
    case MachineExit::Reason::kKilled:
      return v1::Exit::KILLED;
    case MachineExit::Reason::kError:
      return v1::Exit::ERROR;
  }
  return v1::Exit::ERROR;
}

v1::NetStats ToProto(const NetCounters& counters) {
  v1::NetStats out;
  out.set_received_packets(counters.received_packets);
  out.set_received_bytes(counters.received_bytes);
  out.set_received_dropped(counters.received_dropped);
  out.set_sent_packets(counters.sent_packets);
  out.set_sent_bytes(counters.sent_bytes);
  out.set_sent_dropped(counters.sent_dropped);
  return out;
}

// An answer without content.
void FinishEmpty(const rpc::TypedCall<v1::Empty>& call, const Status& status) {
  if (!status) return call.Fail(status.error());
  call.Reply(v1::Empty());
}

}  // namespace

VmmService::VmmService(base::EventLoop& loop) : loop_(loop), server_(loop) {
  server_.Handle<v1::CreateRequest, v1::CreateResponse>(
      kService, "Create",
      [this](const v1::CreateRequest& request, rpc::TypedCall<v1::CreateResponse> call) {
        if (Status status = Create(request.vm()); !status) return call.Fail(status.error());
        call.Reply(v1::CreateResponse());
      });
  server_.Handle<v1::Empty, v1::Exit>(kService, "Wait",
                                      [this](const v1::Empty&, rpc::TypedCall<v1::Exit> call) {
                                        if (exit_) return call.Reply(*exit_);
                                        waiting_.push_back(call);
                                      });
  server_.Handle<v1::Empty, v1::StatsResponse>(
      kService, "Stats", [this](const v1::Empty&, rpc::TypedCall<v1::StatsResponse> call) {
        auto machine = GetMachine();
        if (!machine) return call.Fail(machine.error());
        auto stats = (*machine)->Stats();
        if (!stats) return call.Fail(stats.error());
        v1::StatsResponse response;
        response.set_vcpu_nanos(stats->vcpu_nanos);
        response.set_memory_resident_bytes(stats->memory_resident_bytes);
        response.set_uptime_nanos(stats->uptime_nanos);
        for (const NetCounters& net : stats->nets) *response.add_nets() = ToProto(net);
        call.Reply(response);
      });
  auto handle = [this](const char* method, auto action) {
    server_.Handle<v1::Empty, v1::Empty>(
        kService, method, [this, action](const v1::Empty&, rpc::TypedCall<v1::Empty> call) {
          auto machine = GetMachine();
          if (!machine) return call.Fail(machine.error());
          FinishEmpty(call, action(**machine));
        });
  };
  handle("Start", [](Machine& machine) { return machine.Start(); });
  handle("Pause", [](Machine& machine) { return machine.Pause(); });
  handle("Resume", [](Machine& machine) { return machine.Resume(); });
  handle("Kill", [](Machine& machine) {
    machine.Kill();
    return Status();
  });
  HandleDisks();
}

void VmmService::HandleDisks() {
  server_.Handle<v1::PlugDiskRequest, v1::Empty>(
      kService, "PlugDisk",
      [this](const v1::PlugDiskRequest& request, rpc::TypedCall<v1::Empty> call) {
        auto plug = [&]() -> Status {
          TRY_ASSIGN(Machine * machine, GetMachine());
          TRY_ASSIGN(BlkDisk disk, ReadPluggedDisk(request));
          return machine->spare_disks().Plug(request.spare(), std::move(disk));
        };
        FinishEmpty(call, plug());
      });
  server_.Handle<v1::UnplugDiskRequest, v1::Empty>(
      kService, "UnplugDisk",
      [this](const v1::UnplugDiskRequest& request, rpc::TypedCall<v1::Empty> call) {
        auto unplug = [&]() -> Status {
          TRY_ASSIGN(Machine * machine, GetMachine());
          return machine->spare_disks().Unplug(request.spare(),
                                               [call] { call.Reply(v1::Empty()); });
        };
        if (Status status = unplug(); !status) call.Fail(status.error());
      });
}

Status VmmService::Serve(base::UniqueFd control, std::function<void()> on_monitor_gone) {
  return server_.Serve(std::move(control), std::move(on_monitor_gone));
}

Result<Machine*> VmmService::GetMachine() {
  if (!machine_) return MakeError(Code::kFailedPrecondition, "the machine is not created");
  return machine_.get();
}

Status VmmService::Create(const v1::VmSpec& spec) {
  if (machine_) return MakeError(Code::kAlreadyExists, "the machine is created already");
  TRY_ASSIGN_CONTEXT(MachineSpec machine_spec, TakeMachineSpec(spec), "machine");
  const bool kvm = spec.accel() == v1::ACCEL_KVM;
  auto on_exit = [this](MachineExit exit) { OnExit(std::move(exit)); };
  TRY_ASSIGN(std::unique_ptr<Machine> machine,
             kvm ? KvmMachine::Create(loop_, std::move(machine_spec), on_exit)
                 : SoftwareMachine::Create(loop_, std::move(machine_spec), on_exit));
  // Every thread exists now, and no guest code has run.
  TRY(CheckUnprivileged());
  TRY(InstallSeccomp(kvm ? SeccompPolicy::kKvm : SeccompPolicy::kSoftware,
                     {.rings = spec.disks_size() + spec.spare_disks_size() > 0}));
  machine_ = std::move(machine);
  return {};
}

void VmmService::OnExit(MachineExit exit) {
  if (exit_) return;
  base::log::Debug("the machine ended: reason {}, {}", static_cast<int>(exit.reason), exit.detail);
  v1::Exit message;
  message.set_reason(ToProto(exit.reason));
  // Text of the guest's goes no further than a line that a terminal can take.
  message.set_detail(base::log::Sanitize(exit.detail));
  exit_ = message;
  for (auto& call : std::exchange(waiting_, {})) call.Reply(message);
}

}  // namespace holt::vmm
