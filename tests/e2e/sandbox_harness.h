#pragma once

// Sandboxes by holt-monitor and its sockets alone, as the command drives them: a root file system
// from the demo image, a state directory of the test's own, and a look at what is left afterwards.

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "oci/runtime_spec.h"
#include "rpc/client.h"
#include "rpc/monitor.pb.h"
#include "shim/monitor/start.h"
#include "shim/state/registry.h"

namespace holt {

class SandboxTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite();
  static void TearDownTestSuite();
  void SetUp() override;
  // Fails the test for every process, mount and file that is left.
  void TearDown() override;

  static std::string Accel();
  // A configuration that runs `args` in the demo image's root.
  static oci::Config ConfigOf(std::vector<std::string> args);
  shim::Request RequestOf(const std::string& id);
  // Begin, write, Publish, StartMonitor.
  base::Result<shim::StartedMonitor> Create(const shim::Request& request,
                                            const oci::Config& config);

  struct Client {
    std::unique_ptr<rpc::BlockingClient> rpc;
    std::string id;
    base::Status Start();
    base::Status Kill(int signal, const std::string& exec_id = "", bool all = false);
    base::Status Delete(bool force);
    base::Result<monitor::v1::WaitResponse> Wait(const std::string& exec_id = "");
    base::Status Exec(const std::string& exec_id, std::vector<std::string> args, bool in = false,
                      bool out = true, bool terminal = false);
    base::Status Resize(uint32_t rows, uint32_t columns, const std::string& exec_id = "");
    base::Result<monitor::v1::ListProcessesResponse> List();
    base::Result<monitor::v1::StateResponse> State();
    base::Result<monitor::v1::TimelineResponse> Timeline();
  };
  Client Connect(const std::string& id);
  base::Result<base::UniqueFd> Attach(const std::string& id, const std::string& stream,
                                      const std::string& exec = "");

  // The whole of a foreground run.
  struct Finished {
    int status = -1;
    std::string out;
    std::string err;
    std::string error;  // of the step that failed
  };
  Finished Run(const std::string& id, std::vector<std::string> args, const std::string& input = "",
               std::function<void(oci::Config&, shim::Request&)> change = nullptr);

  // Created, attached to stdout, started.
  struct Running {
    shim::StartedMonitor monitor;
    Client client;
    base::UniqueFd out;
  };
  base::Result<Running> StartRunning(
      const std::string& id, std::vector<std::string> args,
      std::function<void(oci::Config&, shim::Request&)> change = nullptr);

  shim::SandboxPaths PathsOf(const std::string& id) { return shim::PathsOf(root_, id); }
  shim::Record RecordOf(const std::string& id);
  // The recorded process of that name; 0 when there is none.
  pid_t PidOf(const std::string& id, const std::string& name);
  // Waits until the monitor is dead and says what the registry says then.
  shim::Sandbox AfterTheEnd(const std::string& id);
  // Reads until `text` was seen or the end; what was read.
  static std::string ReadUntil(int fd, const std::string& text);
  // Processes of ours that run, orphans included, and mounts below our directory.
  std::vector<std::string> Leftovers();

  std::string root_;
  std::string bundle_;  // of the state
  std::string build_;
  static std::string* rootfs_;
};

}  // namespace holt
