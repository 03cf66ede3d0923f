#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "oci/runtime_spec.h"
#include "rpc/agent.pb.h"
#include "shim/monitor/agent_link.h"
#include "shim/monitor/container_log.h"
#include "shim/monitor/process.h"

namespace holt::shim {

// One container of the sandbox: its processes with their streams, and what the agent is asked about
// them. Callbacks come from the loop, never from within the call.
class Container {
 public:
  struct Options {
    std::string id;
    std::string config_json;  // as the agent gets it
    std::string bundle;
    google::protobuf::RepeatedPtrField<agent::v1::BlockDevice> block_devices;
    bool terminal = false;
    uint32_t rows = 0;
    uint32_t columns = 0;
    bool stdin_open = false;
    // Sockets of the host's in it, and the ports that lead there.
    std::vector<agent::v1::SocketVolume> sockets;
  };
  using Done = std::function<void(base::Status)>;

  // `log` gets what the container's own process writes; null: nothing is kept.
  Container(base::EventLoop& loop, AgentLink& link, Options options, ContainerLog* log);
  ~Container();
  Container(const Container&) = delete;
  Container& operator=(const Container&) = delete;

  // What the host changes in the container's volumes (rpc/change.h), for the agent. Before Create.
  void SetChanges(base::UniqueFd changes) { changes_ = std::move(changes); }
  // Opens the streams, has the agent set the container up and begins to wait for its end.
  void Create(Done done);
  // Lets the container's process exec. The code of an error is the agent's.
  void Start(Done done);

  struct ExecOptions {
    std::string exec_id;
    std::string process_json;
    bool terminal = false;
    bool attach_stdin = false;
    bool attach_output = false;
    uint32_t rows = 0;
    uint32_t columns = 0;
    std::shared_ptr<Descriptors> descriptors;  // beside its stdio; null: none
  };
  // A process beside the container's own. With attach_output nothing of its output is read before a
  // client has attached.
  void Exec(const ExecOptions& options, std::function<void(base::Result<int32_t> guest_pid)> done);

  // exec_id empty: the container's own process. A process that ended is kNotFound.
  void Signal(const std::string& exec_id, int signal, bool all, Done done);
  void Resize(const std::string& exec_id, uint32_t rows, uint32_t columns, Done done);
  void List(std::function<void(base::Result<agent::v1::ListProcessesResponse>)> done);
  void SetFrozen(bool frozen, Done done);
  // `resources_json` is a linux.resources object.
  void Update(const std::string& resources_json, Done done);
  void Stats(std::function<void(base::Result<agent::v1::StatsResponse>)> done);
  // Calls back when the kernel killed a process of it for want of memory; as long as that takes.
  void WaitOom(Done done);

  // Null when there is none of that id (any more).
  Process* Find(const std::string& exec_id);
  Process& init() { return *init_; }
  const Options& options() const { return options_; }
  // Processes of this host that stand in for execs that run.
  std::vector<pid_t> ExecStubs() const;

  // For when the agent cannot tell any more: every process that still runs has ended like this;
  // first the execs, then the container's own unless `execs_only`.
  void EndAll(const ProcessExit& exit, bool execs_only = false);
  // Calls back once when all processes have ended and their output is out.
  void OnAllDrained(std::function<void()> callback);
  // Drops all streams and clients.
  void Abort();

  // Exit status of a process whose machine failed under it; Docker's for "holt itself failed".
  static constexpr int32_t kFailedStatus = 125;

 private:
  // For what the agent answers at once.
  static constexpr std::chrono::seconds kCallTimeout{20};
  static base::Error NoProcess(const std::string& exec_id);
  struct Streams;
  void OpenStreams(bool in, bool out, bool err, bool changes, Process& process,
                   std::function<void(base::Result<std::shared_ptr<Streams>>)> done);
  base::Status ConnectChanges(base::UniqueFd stream);
  void Connect(Process& process, Streams& streams);
  // Somebody connected to a listening socket that the process has one for.
  void Deliver(const std::string& exec_id, Descriptors::Arrival arrival);
  void StartExec(const ExecOptions& options,
                 std::function<void(base::Result<int32_t> guest_pid)> done);
  void WaitFor(const std::string& exec_id);
  void Forget(const std::string& exec_id);
  void CheckAllDrained();
  // Calls the agent; `timeout` 0 waits for ever.
  template <typename Response, typename Request>
  void Call(const char* method, const Request& request, std::chrono::nanoseconds timeout,
            std::function<void(base::Result<Response>)> done) {
    auto guarded = [alive = std::weak_ptr<bool>(alive_),
                    done = std::move(done)](base::Result<Response> result) {
      if (!alive.expired()) done(std::move(result));
    };
    if (link_.client() == nullptr || !link_.client()->open()) {
      loop_.Post([guarded] {
        guarded(base::Error(base::Code::kUnavailable, "the guest's agent is not there"));
      });
      return;
    }
    rpc::CallOptions options;
    if (timeout.count() != 0) options.timeout = timeout;
    link_.client()->Call<Response>("holt.agent.v1.Agent", method, request, options, guarded);
  }
  // The same for a call whose answer is nothing but that it was done.
  template <typename Request>
  void CallDone(const char* method, const Request& request, std::chrono::nanoseconds timeout,
                Done done) {
    Call<agent::v1::Empty>(method, request, timeout,
                           [done = std::move(done)](base::Result<agent::v1::Empty> answer) {
                             done(answer ? base::Status() : base::Status(answer.error()));
                           });
  }

  base::EventLoop& loop_;
  AgentLink& link_;
  Options options_;
  std::unique_ptr<Process> init_;
  std::map<std::string, std::unique_ptr<Process>> execs_;
  std::function<void()> on_all_drained_;
  bool init_drained_ = false;
  base::UniqueFd changes_;  // until the container is created
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace holt::shim
