// Agent: what is asked about containers.

#include "cgroup/detail.h"
#include "guest-agent/net/counters.h"
#include "guest-agent/service/agent.h"
#include "guest-agent/service/process_list.h"

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;
using base::Result;

// Out-of-memory events kept for a monitor that does not ask.
constexpr size_t kMaxOomEvents = 64;

void AddPressure(const cgroup::PressureLine& line, agent::v1::PressureLine& out) {
  out.set_avg10(line.avg10);
  out.set_avg60(line.avg60);
  out.set_avg300(line.avg300);
  out.set_total_us(line.total_us);
}

void AddDetail(const cgroup::CgroupDetail& detail, const std::vector<BlockDevice>& disks,
               agent::v1::StatsResponse& response) {
  response.set_swap_usage_bytes(detail.swap_usage);
  response.set_swap_limit_bytes(detail.swap_limit);
  response.set_swap_peak_bytes(detail.swap_peak);
  response.set_cpuset_cpus(detail.cpus);
  response.set_cpuset_mems(detail.mems);
  for (const cgroup::IoDevice& device : detail.io) {
    auto* out = response.add_block_io();
    const oci::DeviceNumber number = HostNumber(disks, {device.major, device.minor});
    out->set_major(number.major);
    out->set_minor(number.minor);
    out->set_read_bytes(device.read_bytes);
    out->set_write_bytes(device.write_bytes);
    out->set_discard_bytes(device.discard_bytes);
    out->set_read_ops(device.read_ops);
    out->set_write_ops(device.write_ops);
    out->set_discard_ops(device.discard_ops);
  }
  for (const auto& [size, hugetlb] : detail.hugetlb) {
    auto& out = (*response.mutable_hugetlb())[size];
    out.set_usage_bytes(hugetlb.usage);
    out.set_failures(hugetlb.failures);
  }
  for (const auto& [resource, lines] : detail.pressure) {
    auto& out = (*response.mutable_pressure())[resource];
    AddPressure(lines.some, *out.mutable_some());
    AddPressure(lines.full, *out.mutable_full());
  }
}

void AddInterfaces(const std::vector<InterfaceCounters>& interfaces,
                   agent::v1::StatsResponse& response) {
  for (const InterfaceCounters& counters : interfaces) {
    auto* out = response.add_interfaces();
    out->set_name(counters.name);
    out->set_rx_bytes(counters.rx_bytes);
    out->set_rx_packets(counters.rx_packets);
    out->set_rx_errors(counters.rx_errors);
    out->set_rx_dropped(counters.rx_dropped);
    out->set_tx_bytes(counters.tx_bytes);
    out->set_tx_packets(counters.tx_packets);
    out->set_tx_errors(counters.tx_errors);
    out->set_tx_dropped(counters.tx_dropped);
  }
}

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
  AddDetail(cgroup::ReadDetail(container->cgroup()->fd()), container->block_devices(), response);
  if (Process* init = container->FindProcess(""); init != nullptr && !init->exit())
    AddInterfaces(ReadInterfaces(init->pid()), response);
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
