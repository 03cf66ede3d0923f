#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

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
    bool terminal = false;
    uint32_t rows = 0;
    uint32_t columns = 0;
    bool stdin_open = false;
  };
  using Done = std::function<void(base::Status)>;

  // `log` gets what the container's own process writes; null: nothing is kept.
  Container(base::EventLoop& loop, AgentLink& link, Options options, ContainerLog* log);
  ~Container();
  Container(const Container&) = delete;
  Container& operator=(const Container&) = delete;

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
  };
  // A process beside the container's own. With attach_output nothing of its output is read before a
  // client has attached.
  void Exec(const ExecOptions& options, std::function<void(base::Result<int32_t> guest_pid)> done);

  // exec_id empty: the container's own process. A process that ended is kNotFound.
  void Signal(const std::string& exec_id, int signal, bool all, Done done);
  void Resize(const std::string& exec_id, uint32_t rows, uint32_t columns, Done done);
  void List(std::function<void(base::Result<agent::v1::ListProcessesResponse>)> done);

  // Null when there is none of that id (any more).
  Process* Find(const std::string& exec_id);
  Process& init() { return *init_; }
  const Options& options() const { return options_; }

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
  struct Streams;
  void OpenStreams(bool in, bool out, bool err,
                   std::function<void(base::Result<std::shared_ptr<Streams>>)> done);
  static void Connect(Process& process, Streams& streams);
  void WaitFor(const std::string& exec_id);
  void Forget(const std::string& exec_id);
  void CheckAllDrained();
  template <typename Response, typename Request>
  void Call(const char* method, const Request& request, std::chrono::nanoseconds timeout,
            std::function<void(base::Result<Response>)> done);

  base::EventLoop& loop_;
  AgentLink& link_;
  Options options_;
  std::unique_ptr<Process> init_;
  std::map<std::string, std::unique_ptr<Process>> execs_;
  std::function<void()> on_all_drained_;
  bool init_drained_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace holt::shim
