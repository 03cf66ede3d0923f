#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "oci/device_rules.h"
#include "oci/runtime_spec.h"
#include "rpc/agent.pb.h"

namespace holt::shim {

// A block device of the host that becomes a disk of the machine.
struct BlockDevice {
  oci::DeviceNumber number;  // the host's
  std::string id;            // the guest finds it by that: "holt-0"
  bool read_only = false;
  base::UniqueFd fd;  // until holt-vmm has it
};

// More are an error: a machine has so many places for devices.
inline constexpr size_t kMaxBlockDevices = 8;

// How many of those a machine gets without a disk in them yet, for containers that are created when
// it runs.
inline constexpr char kSpareDisksAnnotation[] = "holt.spare-disks";

// What the annotation says, 0 without one; kInvalidArgument unless that is a number and, with
// `disks` that there are from the start, at most kMaxBlockDevices.
base::Result<size_t> SpareDisksOf(const oci::Config& config, size_t disks);

// What the agent is told of a device. `added`: while the machine runs.
agent::v1::BlockDevice ForAgent(const BlockDevice& device, bool added);

// Opens those of linux.devices that the container may use: by number, read-only where the rules of
// linux.resources.devices allow no writing, else for this holder alone (O_EXCL). Errors name the
// entry, and a device that the host has not, or uses itself.
//
// Left out, for nodes of them are the guest's own devices as ever: what the rules do not allow,
// loop devices that have no file here, and everything when the rules allow every device (an
// engine's --privileged lists whatever the host has).
//
// Ids are "holt-<first_id>" and following: each disk that a machine ever has, has its own.
base::Result<std::vector<BlockDevice>> OpenBlockDevices(const oci::Config& config,
                                                        size_t first_id = 0);

}  // namespace holt::shim
