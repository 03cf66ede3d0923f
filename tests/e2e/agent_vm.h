#pragma once

// holt-agent in a real guest, driven as the sandbox monitor drives it: the service over vsock,
// streams as connections of their own.

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "oci/runtime_spec.h"
#include "rpc/agent.pb.h"
#include "rpc/client.h"

namespace holt {

// One machine with the back end that HOLT_TEST_ACCEL names. Its share has `rootfs`, the demo image
// with tests/e2e/agent_probe.cc in it as /probe.
class AgentVm {
 public:
  virtual ~AgentVm() = default;

  // Failures to boot are the test's.
  struct Options {
    uint64_t memory_bytes = 512 << 20;
    bool share = true;  // without one the agent cannot boot; only the ready line is read then
  };
  static std::unique_ptr<AgentVm> Boot(const Options& options);
  // Powers the guest off through the agent and expects the machine to say so.
  void ShutDown();
  // For a machine that is to die otherwise.
  virtual void Destroy() = 0;
  virtual std::string Console() = 0;
  virtual std::string share() = 0;
  // How the machine ended: vmm::v1::Exit::Reason.
  virtual int WaitForEnd() = 0;

  struct Stream {
    uint64_t id = 0;
    base::UniqueFd fd;
  };
  Stream OpenStream();
  // A connection to any port of the guest's.
  base::Result<base::UniqueFd> Connect(uint32_t port);

  template <typename Response, typename Request>
  base::Result<Response> Call(const std::string& method, const Request& request,
                              std::chrono::seconds timeout = std::chrono::seconds(30)) {
    return client_->Call<Response>("holt.agent.v1.Agent", method, request, {.timeout = timeout});
  }
  // A second client, for calls that wait.
  std::unique_ptr<rpc::BlockingClient> NewClient();

  // A container's or an exec's process and our ends of its streams.
  struct Process {
    std::string container_id;
    std::string exec_id;
    base::UniqueFd in;
    base::UniqueFd out;
    base::UniqueFd err;
  };
  struct Outcome {
    int status = -1;
    int signal = 0;
    bool oom_killed = false;
    std::string out;
    std::string err;
  };

  // `disks`: those of the machine that are the container's.
  base::Result<Process> Create(const std::string& id, const oci::Config& config,
                               const std::vector<agent::v1::BlockDevice>& disks = {});
  base::Status Start(const std::string& id);
  base::Result<Process> Exec(const std::string& id, const std::string& exec_id,
                             const oci::Process& process);
  // Feeds `input`, reads both outputs to their ends, waits.
  Outcome Finish(Process process, const std::string& input = "");
  base::Status Delete(const std::string& id);
  // All of it, with a name of its own.
  base::Result<Outcome> Run(const oci::Config& config, const std::string& input = "");
  // The same of a shell script.
  Outcome Sh(const std::string& script, const std::string& input = "",
             const std::function<void(oci::Config&)>& change = nullptr);

  const std::string& ready_line() const { return ready_line_; }

 protected:
  // Fills the share's directory. Failures are the test's.
  static void MakeShare(const std::string& share, const std::string& build);
  // Waits for the agent's call on the listener of its port, and connects to it when there is
  // something to talk about.
  void MeetAgent(int listener, bool talk);

  std::string vsock_path_;
  std::string ready_line_;
  base::UniqueFd ready_;
  std::unique_ptr<rpc::BlockingClient> client_;
  uint64_t next_stream_ = 1;
  int next_container_ = 1;
};

// What an engine would give a container that runs `args`.
oci::Config ContainerConfig(std::vector<std::string> args);
oci::Process ContainerProcess(std::vector<std::string> args);

// Reads until the end of file, or until `until` is in it; gives up after `timeout`.
std::string ReadStream(int fd, const std::string& until = "",
                       std::chrono::seconds timeout = std::chrono::seconds(60));

}  // namespace holt
