#include "shim/monitor/container.h"

// What is done to a container that exists, and what it is asked.
namespace holt::shim {

using base::Code;

base::Error Container::NoProcess(const std::string& exec_id) {
  return exec_id.empty()
             ? base::MakeError(Code::kNotFound, "container not running")
             : base::MakeError(Code::kNotFound, "exec \"{}\": no such process", exec_id);
}

void Container::Signal(const std::string& exec_id, int signal, bool all, Done done) {
  Process* process = Find(exec_id);
  if (process == nullptr || process->exited()) {
    loop_.Post([exec_id, done] { done(NoProcess(exec_id)); });
    return;
  }
  agent::v1::SignalRequest request;
  request.set_container_id(options_.id);
  request.set_exec_id(exec_id);
  request.set_signal(signal);
  request.set_all(all);
  CallDone("Signal", request, kCallTimeout, std::move(done));
}

void Container::Resize(const std::string& exec_id, uint32_t rows, uint32_t columns, Done done) {
  Process* process = Find(exec_id);
  if (process == nullptr || process->exited()) {
    loop_.Post([exec_id, done] { done(NoProcess(exec_id)); });
    return;
  }
  agent::v1::ResizeTtyRequest request;
  request.set_container_id(options_.id);
  request.set_exec_id(exec_id);
  request.set_rows(rows);
  request.set_columns(columns);
  CallDone("ResizeTty", request, kCallTimeout, std::move(done));
}

void Container::List(std::function<void(base::Result<agent::v1::ListProcessesResponse>)> done) {
  agent::v1::ContainerRequest request;
  request.set_container_id(options_.id);
  Call<agent::v1::ListProcessesResponse>("ListProcesses", request, kCallTimeout, std::move(done));
}

void Container::SetFrozen(bool frozen, Done done) {
  agent::v1::ContainerRequest request;
  request.set_container_id(options_.id);
  CallDone(frozen ? "Pause" : "Resume", request, kCallTimeout, std::move(done));
}

void Container::Update(const std::string& resources_json, Done done) {
  agent::v1::UpdateRequest request;
  request.set_container_id(options_.id);
  request.set_oci_resources(resources_json);
  CallDone("Update", request, kCallTimeout, std::move(done));
}

void Container::Stats(std::function<void(base::Result<agent::v1::StatsResponse>)> done) {
  agent::v1::ContainerRequest request;
  request.set_container_id(options_.id);
  Call<agent::v1::StatsResponse>("Stats", request, kCallTimeout, std::move(done));
}

void Container::WaitOom(Done done) {
  Call<agent::v1::OomEvent>("WaitOom", agent::v1::Empty(), std::chrono::nanoseconds(0),
                            [done = std::move(done)](base::Result<agent::v1::OomEvent> event) {
                              done(event ? base::Status() : base::Status(event.error()));
                            });
}

}  // namespace holt::shim
