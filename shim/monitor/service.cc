#include "shim/monitor/service.h"

#include <signal.h>

#include "oci/runtime_spec.h"
#include "oci/unsupported.h"
#include "rpc/monitor.pb.h"
#include "shim/monitor/sandbox.h"

namespace holt::shim {
namespace {

using base::Code;
using rpc::TypedCall;
namespace v1 = monitor::v1;

constexpr char kService[] = "holt.monitor.v1.Monitor";

// One sandbox has one container today; a request for another one is an error, not ours to guess at.
base::Status CheckContainer(const Sandbox& sandbox, const std::string& id) {
  if (id == sandbox.record().id) return {};
  return base::MakeError(Code::kNotFound, "container \"{}\" does not exist", id);
}

std::function<void(base::Status)> Answer(const TypedCall<v1::Empty>& call) {
  return [call](base::Status status) {
    if (status) {
      call.Reply(v1::Empty());
    } else {
      call.Fail(status.error());
    }
  };
}

void State(Sandbox& sandbox, const v1::ContainerRequest& request,
           const TypedCall<v1::StateResponse>& call) {
  if (auto status = CheckContainer(sandbox, request.container_id()); !status)
    return call.Fail(status.error());
  const Record& record = sandbox.record();
  v1::StateResponse response;
  response.set_status(record.status);
  response.set_host_pid(record.pid);
  response.set_exit_status(record.exit_status);
  response.set_error(record.error);
  response.set_accel(record.accel);
  response.set_created_unix_nanos(record.created_unix_nanos);
  response.set_started_unix_nanos(record.started_unix_nanos);
  response.set_exited_unix_nanos(record.exited_unix_nanos);
  if (Container* container = sandbox.container(); record.status != "stopped" && container) {
    response.add_host_pids(record.pid);
    for (pid_t stub : container->ExecStubs()) response.add_host_pids(stub);
  }
  response.set_oom_kills(sandbox.oom_kills());
  call.Reply(response);
}

void Kill(Sandbox& sandbox, const v1::KillRequest& request, const TypedCall<v1::Empty>& call) {
  if (auto status = CheckContainer(sandbox, request.container_id()); !status)
    return call.Fail(status.error());
  if (request.signal() < 1 || request.signal() > SIGRTMAX)
    return call.Fail(
        base::MakeError(Code::kInvalidArgument, "{} is not a signal", request.signal()));
  sandbox.Kill(request.exec_id(), request.signal(), request.all(), Answer(call));
}

void Wait(Sandbox& sandbox, const v1::ProcessRequest& request,
          const TypedCall<v1::WaitResponse>& call) {
  auto process = sandbox.FindProcess(request.container_id(), request.exec_id());
  if (!process) return call.Fail(process.error());
  (*process)->OnExit([call](const ProcessExit& exit) {
    v1::WaitResponse response;
    response.set_exit_status(exit.status);
    response.set_error(exit.error);
    response.set_oom_killed(exit.oom_killed);
    call.Reply(response);
  });
}

void Exec(Sandbox& sandbox, const v1::ExecRequest& request,
          const TypedCall<v1::ExecResponse>& call) {
  if (auto status = CheckContainer(sandbox, request.container_id()); !status)
    return call.Fail(status.error());
  auto process = oci::ParseProcess(request.oci_process());
  if (!process) return call.Fail(process.error());
  if (auto status = oci::CheckGuestSupport(*process); !status) return call.Fail(status.error());
  Container::ExecOptions options;
  options.exec_id = request.exec_id();
  options.process_json = oci::SerializeProcess(*process);
  options.terminal = process->terminal;
  options.attach_stdin = request.attach_stdin();
  options.attach_output = request.attach_output();
  options.rows = request.rows();
  options.columns = request.columns();
  auto given = sandbox.TakeDescriptors(request.exec_id(), request.descriptors());
  if (!given) return call.Fail(given.error());
  options.descriptors = std::move(*given);
  auto run = [&sandbox, options, call](base::Status ready) {
    if (!ready) return call.Fail(ready.error());
    if (call.cancelled()) return;  // its command went away while the container was paused
    sandbox.Exec(options, [call](base::Result<int32_t> guest_pid) {
      if (!guest_pid) return call.Fail(guest_pid.error());
      v1::ExecResponse response;
      response.set_guest_pid(*guest_pid);
      call.Reply(response);
    });
  };
  if (request.ignore_paused()) return sandbox.WhenResumed(std::move(run));
  run({});
}

void Update(Sandbox& sandbox, const v1::UpdateRequest& request, const TypedCall<v1::Empty>& call) {
  if (auto status = CheckContainer(sandbox, request.container_id()); !status)
    return call.Fail(status.error());
  auto resources = oci::ParseResources(request.oci_resources());
  if (!resources) return call.Fail(resources.error());
  sandbox.Update(std::move(*resources), Answer(call));
}

void Stats(Sandbox& sandbox, const v1::ContainerRequest& request,
           const TypedCall<agent::v1::StatsResponse>& call) {
  if (auto status = CheckContainer(sandbox, request.container_id()); !status)
    return call.Fail(status.error());
  sandbox.Stats([call](base::Result<agent::v1::StatsResponse> stats) { call.Finish(stats); });
}

void WaitOom(Sandbox& sandbox, const v1::WaitOomRequest& request,
             const TypedCall<v1::WaitOomResponse>& call) {
  if (auto status = CheckContainer(sandbox, request.container_id()); !status)
    return call.Fail(status.error());
  Sandbox::OomWaiter waiter;
  waiter.seen = request.seen();
  waiter.done = [call](uint64_t count, bool ended) {
    v1::WaitOomResponse response;
    response.set_count(count);
    response.set_ended(ended);
    call.Reply(response);
  };
  waiter.wanted = [call] { return !call.cancelled(); };
  sandbox.WaitOom(std::move(waiter));
}

void ResizeTty(Sandbox& sandbox, const v1::ResizeTtyRequest& request,
               const TypedCall<v1::Empty>& call) {
  auto process = sandbox.FindProcess(request.container_id(), request.exec_id());
  if (!process) return call.Fail(process.error());
  if (request.rows() > UINT16_MAX || request.columns() > UINT16_MAX)
    return call.Fail(base::Error(Code::kInvalidArgument, "no terminal is that large"));
  sandbox.container()->Resize(request.exec_id(), request.rows(), request.columns(), Answer(call));
}

void ListProcesses(Sandbox& sandbox, const v1::ContainerRequest& request,
                   const TypedCall<v1::ListProcessesResponse>& call) {
  if (auto status = CheckContainer(sandbox, request.container_id()); !status)
    return call.Fail(status.error());
  if (sandbox.container() == nullptr || sandbox.container()->init().exited())
    return call.Fail(base::Error(Code::kNotFound, "container not running"));
  sandbox.container()->List([call](base::Result<agent::v1::ListProcessesResponse> processes) {
    if (!processes) return call.Fail(processes.error());
    v1::ListProcessesResponse response;
    for (const agent::v1::GuestProcess& process : processes->processes()) {
      v1::ProcessInfo* info = response.add_processes();
      info->set_pid(process.pid());
      info->set_parent_pid(process.parent_pid());
      info->set_uid(process.uid());
      info->set_command(process.command());
      info->set_exec_id(process.exec_id());
    }
    call.Reply(response);
  });
}

v1::TimelineResponse DescribeTimeline(const Sandbox& sandbox) {
  v1::TimelineResponse response;
  for (const TimelineStep& step : sandbox.TimelineSteps()) {
    v1::TimelineStep* out = response.add_steps();
    out->set_name(step.name);
    out->set_process(step.process);
    out->set_begin_nanos(step.begin_nanos);
    out->set_end_nanos(step.end_nanos);
  }
  return response;
}

// A call about the whole container that answers nothing but that it was done.
void Register(rpc::Server& server, const char* method, Sandbox& sandbox,
              void (Sandbox::*what)(Sandbox::Done)) {
  server.Handle<v1::ContainerRequest, v1::Empty>(
      kService, method,
      [&sandbox, what](const v1::ContainerRequest& request, TypedCall<v1::Empty> call) {
        if (auto status = CheckContainer(sandbox, request.container_id()); !status)
          return call.Fail(status.error());
        (sandbox.*what)(Answer(call));
      });
}

}  // namespace

void RegisterMonitorService(rpc::Server& server, Sandbox& sandbox) {
  server.Handle<v1::ContainerRequest, v1::StateResponse>(
      kService, "State",
      [&](const v1::ContainerRequest& request, auto call) { State(sandbox, request, call); });
  server.Handle<v1::StartRequest, v1::Empty>(
      kService, "Start", [&](const v1::StartRequest& request, TypedCall<v1::Empty> call) {
        if (auto status = CheckContainer(sandbox, request.container_id()); !status)
          return call.Fail(status.error());
        sandbox.Start(request, Answer(call));
      });
  server.Handle<v1::ContainerRequest, v1::Empty>(
      kService, "WaitNotified",
      [&](const v1::ContainerRequest& request, TypedCall<v1::Empty> call) {
        if (auto status = CheckContainer(sandbox, request.container_id()); !status)
          return call.Fail(status.error());
        sandbox.WhenNotified([call] { call.Reply(v1::Empty()); });
      });
  Register(server, "Pause", sandbox, &Sandbox::Pause);
  Register(server, "Resume", sandbox, &Sandbox::Resume);
  server.Handle<v1::UpdateRequest, v1::Empty>(
      kService, "Update",
      [&](const v1::UpdateRequest& request, auto call) { Update(sandbox, request, call); });
  server.Handle<v1::ContainerRequest, agent::v1::StatsResponse>(
      kService, "Stats",
      [&](const v1::ContainerRequest& request, auto call) { Stats(sandbox, request, call); });
  server.Handle<v1::WaitOomRequest, v1::WaitOomResponse>(
      kService, "WaitOom",
      [&](const v1::WaitOomRequest& request, auto call) { WaitOom(sandbox, request, call); });
  server.Handle<v1::KillRequest, v1::Empty>(
      kService, "Kill",
      [&](const v1::KillRequest& request, auto call) { Kill(sandbox, request, call); });
  server.Handle<v1::ProcessRequest, v1::WaitResponse>(
      kService, "Wait",
      [&](const v1::ProcessRequest& request, auto call) { Wait(sandbox, request, call); });
  server.Handle<v1::ExecRequest, v1::ExecResponse>(
      kService, "Exec",
      [&](const v1::ExecRequest& request, auto call) { Exec(sandbox, request, call); });
  server.Handle<v1::ResizeTtyRequest, v1::Empty>(
      kService, "ResizeTty",
      [&](const v1::ResizeTtyRequest& request, auto call) { ResizeTty(sandbox, request, call); });
  server.Handle<v1::ContainerRequest, v1::ListProcessesResponse>(
      kService, "ListProcesses", [&](const v1::ContainerRequest& request, auto call) {
        ListProcesses(sandbox, request, call);
      });
  server.Handle<v1::DeleteRequest, v1::Empty>(
      kService, "Delete", [&](const v1::DeleteRequest& request, TypedCall<v1::Empty> call) {
        if (auto status = CheckContainer(sandbox, request.container_id()); !status)
          return call.Fail(status.error());
        sandbox.Delete(request.force(), Answer(call));
      });
  server.Handle<v1::Empty, v1::TimelineResponse>(
      kService, "Timeline", [&](const v1::Empty&, TypedCall<v1::TimelineResponse> call) {
        call.Reply(DescribeTimeline(sandbox));
      });
}

}  // namespace holt::shim
