// Agent: from CreateContainer to DeleteContainer.

#include <fcntl.h>

#include "base/log.h"
#include "guest-agent/container/check_config.h"
#include "guest-agent/service/agent.h"
#include "oci/unsupported.h"

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

// One that has bytes has a stream.
Status CheckDescriptors(
    const google::protobuf::RepeatedPtrField<agent::v1::Descriptor>& descriptors) {
  using agent::v1::Descriptor;
  for (const Descriptor& descriptor : descriptors) {
    const bool streams = descriptor.kind() == Descriptor::INPUT ||
                         descriptor.kind() == Descriptor::OUTPUT ||
                         descriptor.kind() == Descriptor::CONNECTION;
    if (streams != (descriptor.stream() != 0))
      return MakeError(Code::kInvalidArgument, "descriptors: stream: {}",
                       streams ? "is missing" : "this kind has none");
  }
  return {};
}

// A process's terminal is the request's and the specification's alike, or it is a mistake.
Status CheckStdio(const agent::v1::Stdio& stdio, bool terminal) {
  if (stdio.terminal() != terminal)
    return MakeError(Code::kInvalidArgument, "process.terminal: differs from stdio.terminal");
  if (terminal && stdio.stderr_stream() != 0)
    return MakeError(Code::kInvalidArgument, "stdio.stderr_stream: a terminal has none");
  return {};
}

std::optional<oci::ConsoleSize> Size(const agent::v1::Stdio& stdio) {
  if (stdio.rows() == 0 || stdio.columns() == 0) return std::nullopt;
  return oci::ConsoleSize{stdio.rows(), stdio.columns()};
}

// Input and output of a terminal may be one connection.
bool IsOneStream(const agent::v1::Stdio& stdio) {
  return stdio.terminal() && stdio.stdin_stream() == stdio.stdout_stream() &&
         stdio.stdin_stream() != 0;
}

using Descriptors = google::protobuf::RepeatedPtrField<agent::v1::Descriptor>;

std::vector<uint64_t> StreamIds(const agent::v1::Stdio& stdio, const Descriptors& others) {
  std::vector<uint64_t> ids = {stdio.stdin_stream(), stdio.stdout_stream(), stdio.stderr_stream()};
  if (IsOneStream(stdio)) ids[0] = 0;
  for (const agent::v1::Descriptor& other : others) ids.push_back(other.stream());
  return ids;
}

// `fds` are stdio's, then those of `others`.
ProcessStreams Streams(const agent::v1::Stdio& stdio, const Descriptors& others,
                       std::vector<UniqueFd> fds) {
  ProcessStreams streams{std::move(fds[0]), std::move(fds[1]), std::move(fds[2]), {}};
  for (int i = 0; i < others.size(); ++i)
    streams.others.push_back({others[i], std::move(fds[3 + static_cast<size_t>(i)])});
  if (IsOneStream(stdio)) streams.in.Reset(fcntl(streams.out.get(), F_DUPFD_CLOEXEC, 3));
  return streams;
}

}  // namespace

void Agent::RegisterLifecycle() {
  using namespace agent::v1;
  Handle<CreateContainerRequest, CreateContainerResponse>(
      "CreateContainer",
      [this](const auto& request, auto call) { CreateContainer(request, call); });
  Handle<StartContainerRequest, Empty>("StartContainer", [this](const auto& request, auto call) {
    auto container = Find(request.container_id());
    // Not kNotFound, which says that the program was not found.
    if (!container)
      return call.Fail(
          base::Error(Code::kFailedPrecondition, std::string(container.error().message())));
    (*container)->Start([call](Status status) {
      if (!status) return call.Fail(status.error());
      call.Reply(Empty());
    });
  });
  Handle<ExecRequest, ExecResponse>(
      "Exec", [this](const auto& request, auto call) { Exec(request, call); });
  Handle<DeliverRequest, Empty>("Deliver",
                                [this](const auto& request, auto call) { Deliver(request, call); });
  Handle<ContainerRequest, Empty>("DeleteContainer", [this](const auto& request, auto call) {
    DeleteContainer(request, call);
  });
  Handle<ProcessRequest, Empty>("DeleteProcess", [this](const auto& request, auto call) {
    auto container = Find(request.container_id());
    if (!container) return call.Fail(container.error());
    if (auto status = (*container)->ForgetExec(request.exec_id()); !status)
      return call.Fail(status.error());
    call.Reply(Empty());
  });
}

void Agent::CreateContainer(const agent::v1::CreateContainerRequest& request,
                            Call<agent::v1::CreateContainerResponse> call) {
  const std::string& id = request.container_id();
  std::vector<BlockDevice> block_devices;
  auto prepare = [&]() -> Result<oci::Config> {
    TRY(CheckId("container_id", id));
    if (containers_.contains(id))
      return MakeError(Code::kAlreadyExists, "container {} exists already", id);
    TRY_ASSIGN(oci::Config config, oci::ParseConfig(request.oci_config()));
    TRY(CheckConfig(config));
    TRY(CheckStdio(request.stdio(), config.process->terminal));
    TRY(CheckDescriptors(request.descriptors()));
    TRY_ASSIGN(block_devices, FindBlockDevices(request.block_devices(), kSysfsBlock));
    if (config.linux_) {
      UseGuestNumbers(block_devices, config.linux_->devices);
      if (config.linux_->resources)
        UseGuestNumbers(block_devices, config.linux_->resources->devices);
    }
    return config;
  };
  auto config = prepare();
  if (!config) return call.Fail(config.error());
  auto container = std::make_shared<Container>(engine_, id, std::move(*config), request.bundle(),
                                               std::move(block_devices));
  for (const agent::v1::SocketVolume& socket : request.sockets()) {
    SocketForward::Options options{
        .mode = socket.mode(), .uid = socket.uid(), .gid = socket.gid(), .port = socket.port()};
    auto added = socket.notifications()
                     ? container->AddNotifySocket(socket.source(), std::move(options))
                     : container->AddSocket(socket.source(), std::move(options));
    if (!added) return call.Fail(added.error());
  }
  containers_[id] = container;
  call.OnCancelled([this, weak = std::weak_ptr(container)] {
    auto late = weak.lock();
    if (!late) return;
    base::log::Warning("container {}: nobody waits for its creation any more", late->id());
    late->Destroy([this, late](Status) {
      if (auto it = containers_.find(late->id()); it != containers_.end() && it->second == late)
        containers_.erase(it);
    });
  });
  std::vector<uint64_t> streams = StreamIds(request.stdio(), request.descriptors());
  streams.push_back(request.changes_stream());
  park_.Take(streams, [this, container, call, stdio = request.stdio(),
                       others = request.descriptors()](Result<std::vector<UniqueFd>> fds) {
    if (!fds) return FinishCreate(container, call, std::move(fds).error());
    if (call.cancelled()) return;
    auto changes = std::make_shared<UniqueFd>(std::move(fds->back()));
    container->Create(Streams(stdio, others, std::move(*fds)), Size(stdio),
                      [this, weak = std::weak_ptr(container), call, changes](Status status) {
                        auto made = weak.lock();
                        if (!made) return;
                        if (status && *changes) status = made->ReplayChanges(std::move(*changes));
                        FinishCreate(made, call, std::move(status));
                      });
  });
}

void Agent::FinishCreate(const std::shared_ptr<Container>& container,
                         Call<agent::v1::CreateContainerResponse> call, Status status) {
  if (call.cancelled()) return;
  if (status) {
    if (auto watched = oom_watcher_->Add(container->id(), container->cgroup()->path()); !watched)
      base::log::Warning("container {}: {}", container->id(), watched.error().message());
    agent::v1::CreateContainerResponse response;
    response.set_guest_pid(container->FindProcess("")->pid());
    return call.Reply(response);
  }
  // The answer follows the removal, so that the next attempt with the same name can succeed. From
  // the loop: this may be called by the process that is about to be destroyed.
  loop_.Post([this, container, call, error = status.error()] {
    container->Destroy([this, container, call, error](Status removed) {
      if (!removed) base::log::Error("{}", removed.error().message());
      containers_.erase(container->id());
      call.Fail(error);
    });
  });
}

void Agent::Exec(const agent::v1::ExecRequest& request, Call<agent::v1::ExecResponse> call) {
  auto prepare = [&]() -> Result<oci::Process> {
    TRY(CheckId("exec_id", request.exec_id()));
    auto container = Find(request.container_id());
    if (!container)
      return base::Error(Code::kFailedPrecondition, std::string(container.error().message()));
    if ((*container)->HasExec(request.exec_id()))
      return MakeError(Code::kAlreadyExists, "exec {} exists already", request.exec_id());
    TRY_ASSIGN(oci::Process process, oci::ParseProcess(request.oci_process()));
    TRY(oci::CheckGuestSupport(process));
    TRY(CheckStdio(request.stdio(), process.terminal));
    TRY(CheckDescriptors(request.descriptors()));
    return process;
  };
  auto process = prepare();
  if (!process) return call.Fail(process.error());
  park_.Take(
      StreamIds(request.stdio(), request.descriptors()),
      [this, request, call, process = std::move(*process)](Result<std::vector<UniqueFd>> fds) {
        if (!fds) return call.Fail(fds.error());
        if (call.cancelled()) return;
        const std::string& exec_id = request.exec_id();
        auto container = Find(request.container_id());
        if (!container || (*container)->HasExec(exec_id))
          return call.Fail(MakeError(Code::kFailedPrecondition,
                                     "the container changed while its streams arrived"));
        (*container)
            ->Exec(exec_id, process,
                   Streams(request.stdio(), request.descriptors(), std::move(*fds)),
                   Size(request.stdio()),
                   [call, exec_id, weak = std::weak_ptr(*container)](Status status) {
                     if (!status) return call.Fail(status.error());
                     auto live = weak.lock();
                     Process* started = live ? live->FindProcess(exec_id) : nullptr;
                     agent::v1::ExecResponse response;
                     if (started) response.set_guest_pid(started->pid());
                     call.Reply(response);
                   });
      });
}

void Agent::Deliver(const agent::v1::DeliverRequest& request, Call<Empty> call) {
  park_.Take({request.stream()}, [this, request, call](Result<std::vector<UniqueFd>> fds) {
    if (!fds) return call.Fail(fds.error());
    auto process = FindProcess(request.container_id(), request.exec_id());
    if (!process) return call.Fail(process.error());
    if (auto status = (*process)->Deliver(request.descriptor(), std::move((*fds)[0])); !status)
      return call.Fail(status.error());
    call.Reply(Empty());
  });
}

void Agent::DeleteContainer(const agent::v1::ContainerRequest& request, Call<Empty> call) {
  auto container = Find(request.container_id());
  if (!container) return call.Fail(container.error());
  (*container)->Destroy([this, container = *container, call](Status status) {
    if (!status) return call.Fail(status.error());
    oom_watcher_->Remove(container->id());
    if (auto it = containers_.find(container->id());
        it != containers_.end() && it->second == container)
      containers_.erase(it);
    call.Reply(Empty());
  });
}

}  // namespace holt::guest_agent
