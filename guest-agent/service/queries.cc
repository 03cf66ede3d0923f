// Agent: what is asked about containers.

#include "guest-agent/service/agent.h"
#include "guest-agent/service/process_list.h"

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;
using base::Result;

// Out-of-memory events kept for a monitor that does not ask.
constexpr size_t kMaxOomEvents = 64;

}  // namespace

void Agent::RegisterQueries() {
  using namespace agent::v1;
  Handle<ContainerRequest, ListProcessesResponse>(
      "ListProcesses", [this](const auto& request, auto call) {
        call.Finish(ListProcesses(request.container_id()));
      });
  Handle<ContainerRequest, StatsResponse>("Stats", [this](const auto& request, auto call) {
    call.Finish(Stats(request.container_id()));
  });
  Handle<Empty, OomEvent>("WaitOom", [this](const auto&, auto call) { WaitOom(call); });
}

Result<agent::v1::ListProcessesResponse> Agent::ListProcesses(const std::string& container_id) {
  TRY_ASSIGN(auto container, Find(container_id));
  agent::v1::ListProcessesResponse response;
  if (!container->cgroup()) return response;
  TRY_ASSIGN(std::vector<int> pids, container->cgroup()->Processes());
  for (int pid : pids) {
    auto info = ReadProcess(pid);
    if (!info) continue;  // it ended
    auto* process = response.add_processes();
    process->set_pid(info->pid);
    process->set_container_pid(info->container_pid);
    process->set_parent_pid(info->parent_pid);
    process->set_uid(info->uid);
    process->set_command(info->command);
    process->set_cpu_nanos(info->cpu_nanos);
    process->set_started_unix_nanos(info->started_unix_nanos);
    for (const auto& [exec_id, exec] : container->execs())
      if (exec->pid() == pid && !exec->exit()) process->set_exec_id(exec_id);
  }
  return response;
}

Result<agent::v1::StatsResponse> Agent::Stats(const std::string& container_id) {
  TRY_ASSIGN(auto container, Find(container_id));
  if (!container->cgroup())
    return MakeError(Code::kFailedPrecondition, "container {} is being created", container_id);
  cgroup::CgroupStats stats = container->cgroup()->Stats();
  agent::v1::StatsResponse response;
  response.set_cpu_usage_nanos(stats.cpu_usage_nanos);
  response.set_cpu_user_nanos(stats.cpu_user_nanos);
  response.set_cpu_system_nanos(stats.cpu_system_nanos);
  response.set_cpu_periods(stats.cpu_periods);
  response.set_cpu_throttled_periods(stats.cpu_throttled_periods);
  response.set_cpu_throttled_nanos(stats.cpu_throttled_nanos);
  response.set_memory_usage_bytes(stats.memory_usage);
  response.set_memory_limit_bytes(stats.memory_limit);
  response.set_memory_peak_bytes(stats.memory_peak);
  response.mutable_memory_stat()->insert(stats.memory_stat.begin(), stats.memory_stat.end());
  response.mutable_memory_events()->insert(stats.memory_events.begin(), stats.memory_events.end());
  response.set_pids_current(stats.pids_current);
  response.set_pids_limit(stats.pids_limit);
  response.set_io_read_bytes(stats.io_read_bytes);
  response.set_io_write_bytes(stats.io_write_bytes);
  response.set_io_read_ops(stats.io_read_ops);
  response.set_io_write_ops(stats.io_write_ops);
  return response;
}

void Agent::WaitOom(Call<agent::v1::OomEvent> call) {
  oom_waiters_.push_back(call);
  if (oom_events_.empty()) return;
  std::string id = std::move(oom_events_.front());
  oom_events_.pop_front();
  OnOom(id);
}

void Agent::OnOom(const std::string& container_id) {
  while (!oom_waiters_.empty()) {
    auto call = oom_waiters_.front();
    oom_waiters_.pop_front();
    if (call.cancelled()) continue;
    agent::v1::OomEvent event;
    event.set_container_id(container_id);
    return call.Reply(event);
  }
  if (oom_events_.size() < kMaxOomEvents) oom_events_.push_back(container_id);
}

}  // namespace holt::guest_agent
