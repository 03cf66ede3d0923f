#pragma once

#include <memory>

#include "vmm/cpu/machine.h"
#include "vmm/cpu/qmp.h"
#include "vmm/devices/blk_vhost_user.h"
#include "vmm/devices/console_log.h"
#include "vmm/devices/net_vhost_user.h"
#include "vmm/devices/vsock_vhost_user.h"
#include "vmm/vhost_user/backend.h"

namespace holt::vmm {

// The machine whose processor is a QEMU that the monitor started: serves its vsock, watches its
// console, starts and ends it over QMP. SoftwareArgv (software.h) is the other half.
class SoftwareMachine : public Machine {
 public:
  static base::Result<std::unique_ptr<Machine>> Create(base::EventLoop& loop, MachineSpec spec,
                                                       ExitCallback on_exit);
  ~SoftwareMachine() override;

  base::Status Start() override;
  base::Status Pause() override;
  base::Status Resume() override;
  void Kill() override;
  // kUnsupported: QEMU's use of the host is the monitor's to read.
  base::Result<MachineStats> Stats() override;

 private:
  SoftwareMachine(base::EventLoop& loop, base::UniqueFd console, base::UniqueFd console_source,
                  ExitCallback on_exit);
  // The back end, which is disks_'s, too.
  base::Result<vhost_user::Backend*> ServeDisk(std::unique_ptr<Blk> blk, base::UniqueFd socket);
  base::Status ServeSpareDisk(MachineSpec::SpareDiskSpec spec);
  base::Status ServeNet(MachineSpec::NetSpec spec);
  base::Status ServeVsock(MachineSpec::VsockSpec spec, base::UniqueFd socket);
  void ReadConsole();
  void OnShutdown(const std::string& reason);
  void Exit(MachineExit::Reason reason, std::string detail);

  base::EventLoop& loop_;
  ExitCallback on_exit_;
  ConsoleLog console_;
  base::UniqueFd console_source_;
  std::unique_ptr<Qmp> qmp_;
  std::unique_ptr<VsockVhostUser> vsock_;
  std::unique_ptr<vhost_user::Backend> vsock_backend_;
  std::vector<std::unique_ptr<NetVhostUserServer>> nets_;
  struct ServedDisk {
    std::unique_ptr<BlkVhostUser> device;
    std::unique_ptr<vhost_user::Backend> backend;  // goes first
  };
  std::vector<ServedDisk> disks_;
  bool started_ = false;
  bool killed_ = false;
  bool exited_ = false;
  base::EventLoop::TimerId kill_timer_ = 0;
};

}  // namespace holt::vmm
