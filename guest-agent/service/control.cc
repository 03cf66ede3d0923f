// Agent: what is done to running containers.

#include "base/log.h"
#include "guest-agent/block/sync.h"
#include "guest-agent/cgroup/device_filter.h"
#include "guest-agent/service/agent.h"
#include "oci/unsupported.h"

namespace holt::guest_agent {

using base::Code;
using base::MakeError;
using base::Status;

void Agent::RegisterControl() {
  using namespace agent::v1;
  Handle<SignalRequest, Empty>("Signal",
                               [this](const auto& request, auto call) { Signal(request, call); });
  Handle<WaitRequest, WaitResponse>(
      "Wait", [this](const auto& request, auto call) { Wait(request, call); });
  Handle<ResizeTtyRequest, Empty>("ResizeTty", [this](const auto& request, auto call) {
    auto process = FindProcess(request.container_id(), request.exec_id());
    if (!process) return call.Fail(process.error());
    auto status = (*process)->Resize(request.rows(), request.columns());
    if (!status) return call.Fail(status.error());
    call.Reply(Empty());
  });
  Handle<ContainerRequest, Empty>("Pause", [this](const auto& request, auto call) {
    SetFrozen(request.container_id(), true, call);
  });
  Handle<ContainerRequest, Empty>("Resume", [this](const auto& request, auto call) {
    SetFrozen(request.container_id(), false, call);
  });
  Handle<UpdateRequest, Empty>("Update", [this](const auto& request, auto call) {
    if (auto status = Update(request); !status) return call.Fail(status.error());
    call.Reply(Empty());
  });
}

void Agent::Signal(const agent::v1::SignalRequest& request, Call<Empty> call) {
  auto send = [&]() -> Status {
    TRY_ASSIGN(auto container, Find(request.container_id()));
    if (!request.all()) return container->Signal(request.exec_id(), request.signal());
    if (!container->cgroup())
      return MakeError(Code::kFailedPrecondition, "container {} is being created",
                       request.container_id());
    if (request.signal() < 1 || request.signal() > 64)
      return MakeError(Code::kInvalidArgument, "signal {}: there is no such signal",
                       request.signal());
    return container->cgroup()->SignalAll(request.signal());
  };
  if (auto status = send(); !status) return call.Fail(status.error());
  call.Reply(Empty());
}

void Agent::Wait(const agent::v1::WaitRequest& request, Call<agent::v1::WaitResponse> call) {
  auto process = FindProcess(request.container_id(), request.exec_id());
  if (!process) return call.Fail(process.error());
  bool has_disks = false;
  if (auto container = Find(request.container_id()); container && request.exec_id().empty())
    has_disks = !(*container)->block_devices().empty();
  (*process)->OnExit([this, call, has_disks, id = request.container_id()](const ProcessExit& exit) {
    auto reply = [this, call, id, exit] {
      // First, so that who learns of the end has learnt of its reason.
      oom_watcher_->Check(id);
      agent::v1::WaitResponse response;
      response.set_exit_status(exit.status);
      response.set_signal(exit.signal);
      response.set_exited_at_unix_nanos(exit.at_unix_nanos);
      response.set_oom_killed(exit.oom_killed);
      call.Reply(response);
    };
    // Who learns of the end may take the machine away. What the container wrote to its disks is
    // there then, as it would be without a machine: nobody else is left to wait for this.
    if (!has_disks) return reply();
    SyncDisks(engine_.reaper, reply);
  });
}

void Agent::SetFrozen(const std::string& container_id, bool frozen, Call<Empty> call) {
  auto container = Find(container_id);
  if (!container) return call.Fail(container.error());
  if (!(*container)->running())
    return call.Fail(
        MakeError(Code::kFailedPrecondition, "container {} is not running", container_id));
  (*container)->SetFrozen(frozen, [call](Status status) {
    if (!status) return call.Fail(status.error());
    call.Reply(Empty());
  });
}

Status Agent::Update(const agent::v1::UpdateRequest& request) {
  TRY_ASSIGN(auto container, Find(request.container_id()));
  TRY_ASSIGN(oci::Resources resources, oci::ParseResources(request.oci_resources()));
  TRY(oci::CheckGuestSupport(resources));
  if (!container->cgroup())
    return MakeError(Code::kFailedPrecondition, "container {} is being created",
                     request.container_id());
  TRY_CONTEXT(container->cgroup()->Apply(resources), "guest");
  if (resources.devices.empty()) return {};
  UseGuestNumbers(container->block_devices(), resources.devices);
  return ApplyDevices(container->cgroup()->fd(), resources.devices);
}

}  // namespace holt::guest_agent
