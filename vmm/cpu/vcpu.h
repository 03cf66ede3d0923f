#pragma once

#include <linux/kvm.h>

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "vmm/boot/boot.h"
#include "vmm/cpu/kvm_vm.h"
#include "vmm/devices/bus.h"

namespace holt::vmm {

// Why a vCPU cannot go on. What the guest does on purpose (power off, reset, panic) it says by
// devices.
struct VcpuFailure {
  std::string text;
};

// One virtual processor. Made in one thread, run in another; only Kick() may be called meanwhile.
class Vcpu {
 public:
  struct Buses {
    const Bus* ports = nullptr;
    const Bus* memory = nullptr;
  };
  static base::Result<std::unique_ptr<Vcpu>> Create(const KvmVm& vm, uint32_t index, uint32_t count,
                                                    Buses buses);
  ~Vcpu();
  Vcpu(const Vcpu&) = delete;
  Vcpu& operator=(const Vcpu&) = delete;

  uint32_t index() const { return index_; }

  // Where the first vCPU starts. The others wait for the guest to start them (INIT, SIPI).
  base::Status SetEntry(const BootEntry& entry);

  // Runs the guest and serves its accesses to the buses until Kick(), which gives nothing, or until
  // it can run no more.
  std::optional<VcpuFailure> Run();

  // Makes Run() return soon, or at once when it is called next. `thread` is where Run() is; the
  // signal kKickSignal must have a handler there. Thread-safe.
  void Kick(pthread_t thread);
  // Tells the guest that it was stopped, so that its watchdogs do not bark.
  void NotePause();

  // Exits to us, for statistics.
  uint64_t exits() const { return exits_.load(std::memory_order_relaxed); }

 private:
  Vcpu(uint32_t index, Buses buses) : index_(index), buses_(buses) {}
  base::Status SetMsrs();
  base::Status PublishLocalApic();
  void ServePort();
  void ServeMemory();
  std::optional<VcpuFailure> HandleExit();
  VcpuFailure Failure(std::string_view what) const;
  std::string DescribeRip() const;

  const uint32_t index_;
  const Buses buses_;
  base::UniqueFd fd_;
  // SAFETY: shared with the kernel, which writes it only while KVM_RUN runs; immediate_exit apart,
  // which other threads set.
  kvm_run* run_ = nullptr;
  size_t run_bytes_ = 0;
  std::atomic<uint64_t> exits_{0};
};

// The signal that Kick() sends. Installs a handler that does nothing.
int KickSignal();
base::Status InstallKickHandler();

}  // namespace holt::vmm
