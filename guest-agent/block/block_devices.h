#pragma once

#include <google/protobuf/repeated_field.h>

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "guest-agent/init/reaper.h"
#include "oci/device_rules.h"
#include "oci/runtime_spec.h"
#include "rpc/agent.pb.h"

// Block devices of the host that are disks of this machine. Who wrote the configuration knows them
// by the host's numbers.
namespace holt::guest_agent {

inline constexpr char kSysfsBlock[] = "/sys/class/block";

struct BlockDevice {
  oci::DeviceNumber host;
  oci::DeviceNumber guest;
  std::string serial;
  std::string added_name;  // the guest's ("vdb"), of one that came while the machine was running
};

// Finds each by its serial below `sysfs_block`, waiting up to ten seconds for
// those that are not there yet, and makes those that came later ready. The error names one that
// does not come.
base::Result<std::vector<BlockDevice>> FindBlockDevices(
    const google::protobuf::RepeatedPtrField<agent::v1::BlockDevice>& wanted,
    const std::string& sysfs_block);

// Gives back those that came later and are still there: nobody in the guest has them any more when
// `done` is called. In a process of its own, for it waits: up to ten seconds for what is still
// mounted, and for a slow disk of the host's.
void GiveBackAddedDisks(Reaper& reaper, const std::vector<BlockDevice>& devices,
                        const std::function<void(base::Status)>& done);

// linux.devices with the guest's numbers.
void UseGuestNumbers(const std::vector<BlockDevice>& devices, std::vector<oci::Device>& nodes);

// The same for rules: what they allowed of a device by the host's number, by number or by wildcard,
// they allow by the guest's and no more.
void UseGuestNumbers(const std::vector<BlockDevice>& devices, std::vector<oci::DeviceRule>& rules);

// The number that the host has for a device of the guest's; the same where it has none.
oci::DeviceNumber HostNumber(const std::vector<BlockDevice>& devices, oci::DeviceNumber guest);

}  // namespace holt::guest_agent
