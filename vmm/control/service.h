#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "rpc/server.h"
#include "rpc/vmm.pb.h"
#include "vmm/cpu/machine.h"

namespace holt::vmm {

// The Vmm service of rpc/vmm.proto: one machine, from Create to its exit.
class VmmService {
 public:
  explicit VmmService(base::EventLoop& loop);

  // Serves the control socket. When it ends, the monitor is gone: `on_monitor_gone`.
  base::Status Serve(base::UniqueFd control, std::function<void()> on_monitor_gone);

 private:
  void HandleDisks();
  base::Status Create(const v1::VmSpec& spec);
  void OnExit(MachineExit exit);
  // The machine, or kFailedPrecondition before Create.
  base::Result<Machine*> GetMachine();

  base::EventLoop& loop_;
  rpc::Server server_;
  std::unique_ptr<Machine> machine_;
  std::optional<v1::Exit> exit_;
  std::vector<rpc::TypedCall<v1::Exit>> waiting_;
};

}  // namespace holt::vmm
