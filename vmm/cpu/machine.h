#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "vmm/devices/blk_spares.h"
#include "vmm/devices/net.h"

// A virtual machine, whatever its processor is.
namespace holt::vmm {

// Why a machine is no more.
struct MachineExit {
  enum class Reason {
    kShutdown,  // the guest powered off
    kReboot,    // the guest reset itself
    kPanic,     // its kernel panicked; `detail` is the panic line
    kKilled,    // Kill()
    kError,     // the machine failed; `detail` says how
  };
  Reason reason = Reason::kError;
  std::string detail;
};

struct MachineStats {
  uint64_t vcpu_nanos = 0;
  uint64_t memory_resident_bytes = 0;
  uint64_t uptime_nanos = 0;
  std::vector<NetCounters> nets;  // in the order of MachineSpec::nets
};

struct MachineSpec {
  struct VsockSpec {
    uint64_t guest_cid = 3;
    base::UniqueFd listener;
    base::UniqueFd directory;
    std::string name;
  };
  struct ShareSpec {
    std::string tag;
    base::UniqueFd vhost_user;
  };
  struct NetSpec {
    std::vector<std::unique_ptr<NetEnd>> ends;  // one for each pair of queues
    NetIdentity identity;
    base::UniqueFd vhost_user_listener;  // software only
  };
  struct DiskSpec {
    BlkDisk disk;
    base::UniqueFd vhost_user;  // software only
  };
  struct SpareDiskSpec {
    std::vector<std::unique_ptr<BlkRing>> rings;  // one for each queue
    base::UniqueFd vhost_user;                    // software only
  };
  struct SoftwareEnds {
    base::UniqueFd vsock_vhost_user;
    base::UniqueFd qmp;
    base::UniqueFd console_source;
  };

  uint32_t vcpus = 1;
  uint64_t memory_bytes = 0;
  std::string cmdline;
  base::UniqueFd kvm;
  base::UniqueFd kernel;
  base::UniqueFd initramfs;
  base::UniqueFd console;
  std::optional<VsockSpec> vsock;
  std::vector<ShareSpec> shares;
  std::vector<NetSpec> nets;
  std::vector<DiskSpec> disks;
  std::vector<SpareDiskSpec> spare_disks;
  SoftwareEnds software;
};

inline constexpr uint32_t kMaxVcpus = 32;

// Lives in one event loop. Created set up and not running.
class Machine {
 public:
  // Called once, in the loop.
  using ExitCallback = std::function<void(MachineExit)>;

  virtual ~Machine() = default;
  virtual base::Status Start() = 0;
  virtual base::Status Pause() = 0;
  virtual base::Status Resume() = 0;
  // Ends the machine; the exit callback follows.
  virtual void Kill() = 0;
  virtual base::Result<MachineStats> Stats() = 0;

  // In the order of MachineSpec::spare_disks.
  BlkSpares& spare_disks() { return spare_disks_; }

 protected:
  BlkSpares spare_disks_;
};

}  // namespace holt::vmm
