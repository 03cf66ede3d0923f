#pragma once

#include <google/protobuf/repeated_field.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "oci/device_rules.h"
#include "oci/runtime_spec.h"
#include "rpc/agent.pb.h"

// Block devices of the host that are disks of this machine. Who wrote the configuration knows them
// by the host's numbers.
namespace holt::guest_agent {

struct BlockDevice {
  oci::DeviceNumber host;
  oci::DeviceNumber guest;
};

// Finds each by its serial below `sysfs_block` (/sys/class/block), waiting up to ten seconds for
// those that are not there yet. The error names one that does not come.
base::Result<std::vector<BlockDevice>> FindBlockDevices(
    const google::protobuf::RepeatedPtrField<agent::v1::BlockDevice>& wanted,
    const std::string& sysfs_block);

// linux.devices with the guest's numbers.
void UseGuestNumbers(const std::vector<BlockDevice>& devices, std::vector<oci::Device>& nodes);

// The same for rules: what they allowed of a device by the host's number, by number or by wildcard,
// they allow by the guest's and no more.
void UseGuestNumbers(const std::vector<BlockDevice>& devices, std::vector<oci::DeviceRule>& rules);

// The number that the host has for a device of the guest's; the same where it has none.
oci::DeviceNumber HostNumber(const std::vector<BlockDevice>& devices, oci::DeviceNumber guest);

}  // namespace holt::guest_agent
