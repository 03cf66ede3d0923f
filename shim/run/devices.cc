#include "shim/run/devices.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <vector>

#include "oci/device_rules.h"
#include "shim/run/values.h"

namespace holt::shim {

using base::Code;
using base::MakeError;

namespace {

bool IsAccess(const std::string& text) {
  return !text.empty() && text.size() <= 3 && text.find_first_not_of("rwm") == std::string::npos;
}

}  // namespace

base::Result<GivenDevice> ParseDevice(std::string_view text) {
  std::vector<std::string> parts = Split(text, ':');
  std::string access = "rwm";
  if (parts.size() > 1 && IsAccess(parts.back())) {
    access = parts.back();
    parts.pop_back();
  }
  if (parts.size() > 2 || parts[0].empty() || parts.back().empty() || parts.back()[0] != '/')
    return MakeError(Code::kInvalidArgument, "\"{}\": write HOST[:PATH][:rwm], paths absolute",
                     text);
  struct stat node {};
  if (stat(parts[0].c_str(), &node) != 0) return HOLT_ERRNO("{}", parts[0]);
  if (!S_ISBLK(node.st_mode))
    return MakeError(Code::kUnsupported,
                     "{}: is no block device; other devices are those of the container's machine",
                     parts[0]);
  GivenDevice device;
  device.node.path = parts.back();
  device.node.type = "b";
  device.node.major = major(node.st_rdev);
  device.node.minor = minor(node.st_rdev);
  device.node.file_mode = node.st_mode & 07777;
  device.node.uid = node.st_uid;
  device.node.gid = node.st_gid;
  device.rule = oci::BlockDeviceRule(true, {major(node.st_rdev), minor(node.st_rdev)}, access);
  return device;
}

}  // namespace holt::shim
