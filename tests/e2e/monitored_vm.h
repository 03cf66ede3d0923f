#pragma once

// holt-agent in a machine that the monitor's own code starts (shim/monitor/machine.h), in a loop of
// its own: for what the monitor does to a machine that runs.

#include <future>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>

#include "base/event_loop.h"
#include "shim/monitor/block_devices.h"
#include "shim/monitor/machine.h"
#include "tests/e2e/agent_vm.h"

namespace holt {

class MonitoredVm : public AgentVm {
 public:
  // Failures to boot are the test's. With the back end that HOLT_TEST_ACCEL names.
  MonitoredVm(size_t spare_disks, uint32_t vcpus);
  ~MonitoredVm() override;

  void Destroy() override;
  std::string Console() override;
  std::string share() override { return dir_ + "/share"; }
  int WaitForEnd() override;

  base::Status AddDisk(const shim::BlockDevice& device);
  base::Status RemoveDisk(const std::string& id);
  // Of "holt-vmm" or "QEMU"; 0: there is none.
  pid_t PidOf(const std::string& name);
  bool ended();

 private:
  void Boot(size_t spare_disks, uint32_t vcpus);
  // Runs `call` where the machine lives.
  template <typename Call>
  std::invoke_result_t<Call> InLoop(Call call) {
    std::promise<std::invoke_result_t<Call>> result;
    loop_->Post([&] { result.set_value(call()); });
    return result.get_future().get();
  }
  // The same of what answers later.
  base::Status Ask(const std::function<void(std::function<void(base::Status)>)>& call);

  std::string dir_;
  std::unique_ptr<base::EventLoop> loop_;
  shim::Timeline timeline_{"test"};
  std::unique_ptr<shim::Machine> machine_;
  std::thread thread_;
};

}  // namespace holt
