#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "rpc/client.h"
#include "shim/monitor/child.h"
#include "shim/monitor/diagnosis.h"
#include "shim/monitor/spare_disks.h"
#include "shim/monitor/timeline.h"
#include "shim/network/attachment.h"
#include "shim/network/user_network.h"
#include "shim/state/record.h"

namespace holt::shim {

struct MachineSpec {
  struct Disk {
    int fd = -1;
    bool read_only = false;
    std::string id;
  };

  Accel accel = Accel::kKvm;
  uint64_t memory_bytes = 0;
  uint32_t vcpus = 1;
  std::string kernel;
  std::string initramfs;
  std::string cmdline;
  std::string libexec;
  std::string qemu;
  std::string share_directory;
  // Somebody else than the guest writes in the share (volumes): it must look again now and then.
  bool shared_writers = false;
  // Paths in the share: what the host changes there comes out of TakeChanges().
  std::vector<std::string> watched;
  // Their sockets are made in vsock_directory for as long as it takes.
  std::vector<network::Attachment::Device> network_devices;
  // Their descriptors are borrowed until it is started.
  std::vector<Disk> disks;
  // Places for disks that come later.
  size_t spare_disks = 0;
  // passt's path: one more device, which leads to it.
  std::string passt;
  network::Families families;  // passt's
  std::vector<network::Published> published;
  int vsock_listener = -1;   // borrowed
  int vsock_directory = -1;  // borrowed
  std::string vsock_name;
  std::string vsock_path;  // of vsock_directory
  // Unprivileged, and of this sandbox alone: no process of another sandbox has them.
  uid_t vmm_uid = 0;
  uid_t qemu_uid = 0;
  bool debug = false;
};

// The processes that make the virtual machine: holt-fsd, holt-vmm and, for the software back end,
// QEMU, joined by socket pairs that only they hold.
class Machine {
 public:
  // Called at every end: a process or the guest. Evidence() tells what is known by then.
  using OnChange = std::function<void()>;

  Machine(base::EventLoop& loop, Timeline& timeline) : loop_(loop), timeline_(timeline) {}
  ~Machine();

  // Starts everything but holt-fsd and lets the guest run as soon as the VMM has set it up.
  base::Status Start(const MachineSpec& spec, OnChange on_change);
  // Starts holt-fsd, which QEMU or holt-vmm waits for. What is mounted in the share while it enters
  // its namespaces may be missing there for ever: mounts do not propagate to a detached copy.
  base::Status StartFileServer(const MachineSpec& spec);
  // A stream of records (rpc/change.h), after StartFileServer; invalid when nothing is watched.
  base::UniqueFd TakeChanges() { return std::move(changes_); }
  // Adds what is known to `evidence`.
  void AddEvidence(Evidence& evidence) const;
  bool ended() const { return ended_; }
  // Those that were started, for who cleans up after a dead monitor.
  std::vector<ProcessIdentity> Processes() const;
  // The guest powered itself off, as the agent's Shutdown does.
  bool powered_off() const { return powered_off_; }
  // The last bytes of the guest's console.
  const std::string& console() const { return console_; }
  void Pause(std::function<void(base::Status)> done);
  void Resume(std::function<void(base::Status)> done);
  // Makes a block device a disk of the running machine, in one of its spare places; `disk.fd` is
  // borrowed until `done`. kResourceExhausted: there is no place.
  void AddDisk(const MachineSpec::Disk& disk, std::function<void(base::Status)> done);
  // Takes one away that AddDisk added: what the guest still asks of it fails, and the host's device
  // is free when `done` is called with success. kNotFound: there is none of that id. After another
  // error it may still be the machine's, until that ends.
  void RemoveDisk(const std::string& id, std::function<void(base::Status)> done);
  // Kills all of its processes and reaps them.
  void Kill();

 private:
  struct Wiring;
  base::Status StartPasst(const MachineSpec& spec, Wiring& wiring);
  base::Status StartVmm(const MachineSpec& spec, Wiring& wiring);
  base::Status ListenForNetworks(const MachineSpec& spec, Wiring& wiring);
  base::Status StartQemu(const MachineSpec& spec, Wiring& wiring);
  void CreateAndStart(const MachineSpec& spec, const Wiring& wiring);
  void ReadConsole();
  void Changed();
  void ProcessEnded(const std::unique_ptr<Child>& child);
  void StepFailed(const base::Error& error);

  base::EventLoop& loop_;
  Timeline& timeline_;
  OnChange on_change_;
  std::unique_ptr<Child> fsd_;
  std::unique_ptr<Child> vmm_;
  std::unique_ptr<Child> qemu_;
  std::unique_ptr<Child> passt_;
  std::unique_ptr<rpc::Client> control_;
  SpareDisks spare_disks_;
  base::UniqueFd changes_;
  base::UniqueFd fs_socket_;  // holt-fsd's end, until it is started
  base::UniqueFd console_pipe_;
  std::string console_;
  std::string step_error_;
  std::string panic_;
  std::string vm_end_;
  std::string process_end_;  // the first that was no clean exit
  std::string clean_end_;    // the first that was
  bool ended_ = false;
  bool powered_off_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace holt::shim
