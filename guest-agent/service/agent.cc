#include "guest-agent/service/agent.h"

#include <sys/epoll.h>

#include "base/log.h"
#include "guest-agent/init/tables.h"
#include "guest-agent/stream/vsock.h"

namespace holt::guest_agent {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

Agent::Agent(base::EventLoop& loop, Reaper& reaper, const Booted& booted, const Timeline& timeline,
             std::function<void()> on_shutdown)
    : loop_(loop),
      booted_(booted),
      timeline_(timeline),
      on_shutdown_(std::move(on_shutdown)),
      engine_{loop, reaper, booted.share.get(), kContainersCgroup, kRootPlace},
      park_(loop),
      server_(loop) {}

Agent::~Agent() {
  for (UniqueFd* listener : {&rpc_listener_, &stream_listener_})
    if (*listener) loop_.RemoveFd(listener->get());
}

Result<std::unique_ptr<Agent>> Agent::Create(base::EventLoop& loop, Reaper& reaper,
                                             const Booted& booted, const Timeline& timeline,
                                             std::function<void()> on_shutdown) {
  std::unique_ptr<Agent> agent(new Agent(loop, reaper, booted, timeline, std::move(on_shutdown)));
  Agent* raw = agent.get();
  TRY_ASSIGN(raw->oom_watcher_,
             OomWatcher::Create(loop, [raw](const std::string& id) { raw->OnOom(id); }));
  raw->RegisterLifecycle();
  raw->RegisterControl();
  raw->RegisterQueries();
  raw->RegisterSandbox();
  return agent;
}

Status Agent::Serve(UniqueFd rpc_listener, UniqueFd stream_listener) {
  rpc_listener_ = std::move(rpc_listener);
  stream_listener_ = std::move(stream_listener);
  TRY(AcceptWith(rpc_listener_.get(), [this](UniqueFd socket) {
    if (auto status = server_.Serve(std::move(socket)); !status)
      base::log::Error("rpc: {}", status.error().message());
  }));
  return AcceptWith(stream_listener_.get(),
                    [this](UniqueFd socket) { park_.Park(std::move(socket)); });
}

Status Agent::AcceptWith(int listener, std::function<void(UniqueFd)> take) {
  return loop_.AddFd(listener, EPOLLIN, [listener, take = std::move(take)](uint32_t) {
    auto socket = AcceptFromHost(listener);
    if (socket) return take(std::move(*socket));
    if (socket.error().code() != Code::kUnavailable)
      base::log::Warning("{}", socket.error().message());
  });
}

Result<std::shared_ptr<Container>> Agent::Find(const std::string& container_id) {
  auto it = containers_.find(container_id);
  if (it == containers_.end())
    return MakeError(Code::kNotFound, "container {} does not exist", container_id);
  return it->second;
}

Result<Process*> Agent::FindProcess(const std::string& container_id, const std::string& exec_id) {
  TRY_ASSIGN(auto container, Find(container_id));
  if (Process* process = container->FindProcess(exec_id)) return process;
  if (exec_id.empty())
    return MakeError(Code::kFailedPrecondition, "container {} is being created", container_id);
  return MakeError(Code::kNotFound, "container {}: exec {} does not exist", container_id, exec_id);
}

}  // namespace holt::guest_agent
