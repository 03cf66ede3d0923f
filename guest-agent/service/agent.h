#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "guest-agent/container/container.h"
#include "guest-agent/init/boot.h"
#include "guest-agent/init/reaper.h"
#include "guest-agent/net/configure.h"
#include "guest-agent/net/resolver.h"
#include "guest-agent/service/oom_watcher.h"
#include "guest-agent/stream/park.h"
#include "rpc/agent.pb.h"
#include "rpc/server.h"

namespace holt::guest_agent {

// The service `holt.agent.v1.Agent` (rpc/agent.proto) with its two listening ports.
class Agent {
 public:
  // `booted` and `timeline` outlive it. `on_shutdown` is called once, after the answer to Shutdown.
  static base::Result<std::unique_ptr<Agent>> Create(base::EventLoop& loop, Reaper& reaper,
                                                     const Booted& booted, const Timeline& timeline,
                                                     std::function<void()> on_shutdown);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // Serves what comes in on the listening sockets of RPC and streams.
  base::Status Serve(base::UniqueFd rpc_listener, base::UniqueFd stream_listener);

 private:
  template <typename Response>
  using Call = rpc::TypedCall<Response>;
  using Empty = agent::v1::Empty;

  Agent(base::EventLoop& loop, Reaper& reaper, const Booted& booted, const Timeline& timeline,
        std::function<void()> on_shutdown);
  // lifecycle.cc
  void RegisterLifecycle();
  void CreateContainer(const agent::v1::CreateContainerRequest& request,
                       Call<agent::v1::CreateContainerResponse> call);
  void FinishCreate(const std::shared_ptr<Container>& container,
                    Call<agent::v1::CreateContainerResponse> call, base::Status status);
  void Exec(const agent::v1::ExecRequest& request, Call<agent::v1::ExecResponse> call);
  void Deliver(const agent::v1::DeliverRequest& request, Call<Empty> call);
  void DeleteContainer(const agent::v1::ContainerRequest& request, Call<Empty> call);
  // control.cc
  void RegisterControl();
  void Signal(const agent::v1::SignalRequest& request, Call<Empty> call);
  void Wait(const agent::v1::WaitRequest& request, Call<agent::v1::WaitResponse> call);
  void SetFrozen(const std::string& container_id, bool frozen, Call<Empty> call);
  base::Status Update(const agent::v1::UpdateRequest& request);
  // queries.cc
  void RegisterQueries();
  base::Result<agent::v1::ListProcessesResponse> ListProcesses(const std::string& container_id);
  base::Result<agent::v1::StatsResponse> Stats(const std::string& container_id);
  void WaitOom(Call<agent::v1::OomEvent> call);
  void OnOom(const std::string& container_id);
  // sandbox.cc
  void RegisterSandbox();
  base::Result<agent::v1::CreateSandboxResponse> CreateSandbox(
      const agent::v1::CreateSandboxRequest& request);
  base::Result<agent::v1::GuestInfoResponse> GuestInfo();
  base::Status ServeResolver();

  template <typename Request, typename Response, typename Handler>
  void Handle(const char* method, Handler handler) {
    server_.Handle<Request, Response>(
        kService, method,
        std::function<void(const Request&, rpc::TypedCall<Response>)>(std::move(handler)));
  }
  // A container that is whole; kNotFound.
  base::Result<std::shared_ptr<Container>> Find(const std::string& container_id);
  // A process of one; kNotFound.
  base::Result<Process*> FindProcess(const std::string& container_id, const std::string& exec_id);
  base::Status AcceptWith(int listener, std::function<void(base::UniqueFd)> take);

  static constexpr char kService[] = "holt.agent.v1.Agent";

  base::EventLoop& loop_;
  const Booted& booted_;
  const Timeline& timeline_;
  std::function<void()> on_shutdown_;
  Engine engine_;
  StreamPark park_;
  Network network_;
  std::unique_ptr<OomWatcher> oom_watcher_;
  std::deque<std::string> oom_events_;  // that nobody waited for
  std::deque<Call<agent::v1::OomEvent>> oom_waiters_;
  std::map<std::string, std::shared_ptr<Container>> containers_;
  std::unique_ptr<Resolver> resolver_;
  bool sandbox_created_ = false;
  base::UniqueFd rpc_listener_;
  base::UniqueFd stream_listener_;
  rpc::Server server_;  // last: its calls end before what they use
};

}  // namespace holt::guest_agent
