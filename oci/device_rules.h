#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "oci/runtime_spec.h"

namespace holt::oci {

// A device's number.
struct DeviceNumber {
  uint32_t major = 0;
  uint32_t minor = 0;
  bool operator==(const DeviceNumber&) const = default;
};

// What the rules of linux.resources.devices allow of a block device, as letters of "rwm": of the
// rules that speak about it and a letter the last decides, and without one it is denied.
std::string AllowedAccess(const std::vector<DeviceRule>& rules, DeviceNumber block_device);

// Whether the last rule that speaks about every device allows them: what engines write for a
// container that is "privileged".
bool AllowsEveryDevice(const std::vector<DeviceRule>& rules);

// A rule about that block device only.
DeviceRule BlockDeviceRule(bool allow, DeviceNumber block_device, const std::string& access);

}  // namespace holt::oci
