#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "vmm/boot/acpi.h"
#include "vmm/cpu/kvm_vm.h"
#include "vmm/cpu/machine.h"
#include "vmm/cpu/vcpu_threads.h"
#include "vmm/devices/bus.h"
#include "vmm/devices/console_log.h"
#include "vmm/devices/platform.h"
#include "vmm/memory/layout.h"
#include "vmm/virtio/mmio.h"

namespace holt::vmm {

// The machine whose processors are KVM's and whose bus is ours.
class KvmMachine : public Machine {
 public:
  static base::Result<std::unique_ptr<Machine>> Create(base::EventLoop& loop, MachineSpec spec,
                                                       ExitCallback on_exit);
  ~KvmMachine() override;

  base::Status Start() override;
  base::Status Pause() override;
  base::Status Resume() override;
  void Kill() override;
  base::Result<MachineStats> Stats() override;

 private:
  KvmMachine(base::EventLoop& loop, base::UniqueFd console, ExitCallback on_exit);
  base::Status SetUp(MachineSpec spec);
  base::Status AddDevices(MachineSpec& spec);
  base::Status AddDisk(BlkDisk disk, uint32_t vcpus);
  base::Status AddSpareDisk(MachineSpec::SpareDiskSpec spec);
  base::Status AddNet(MachineSpec::NetSpec spec);
  base::Status AddVsock(MachineSpec::VsockSpec spec);
  base::Status AddDevice(std::unique_ptr<VirtioDevice> device);
  base::Status CreateVcpus(uint32_t count, const BootEntry& entry);

  // From vCPU threads.
  void OnPlatformEvent(PlatformPorts::Event event);
  void OnSerial(std::string_view bytes);

  // In the loop.
  void OnEventInLoop(PlatformPorts::Event event);
  void FlushSerial();
  // Not at once: a vCPU may be waiting for the call in which a device failed.
  void FailLater(std::string why);
  void Exit(MachineExit::Reason reason, std::string detail);

  base::EventLoop& loop_;
  ExitCallback on_exit_;
  ConsoleLog console_;
  PlatformPorts platform_;
  Bus ports_;
  Bus mmio_;
  GuestMemoryFile memory_;
  GuestLayout layout_;
  std::unique_ptr<KvmVm> vm_;
  base::UniqueFd ignored_;  // takes writes that mean nothing; nobody reads it
  std::vector<std::unique_ptr<MmioTransport>> transports_;
  std::vector<MmioDevice> places_;  // of transports_
  std::vector<NetDevice*> nets_;    // in transports_
  // Declared last of what runs guest code: its end is the first to come.
  std::unique_ptr<VcpuThreads> threads_;

  std::mutex serial_mutex_;
  std::string serial_;  // guarded by serial_mutex_

  bool started_ = false;
  bool paused_ = false;
  bool exited_ = false;
  bool panicked_ = false;
  base::EventLoop::TimerId panic_timer_ = 0;
  base::EventLoop::Clock::time_point started_at_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace holt::vmm
