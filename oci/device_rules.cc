#include "oci/device_rules.h"

namespace holt::oci {
namespace {

constexpr char kAll[] = "rwm";

bool IsForAll(const DeviceRule& rule) { return rule.type.empty() || rule.type == "a"; }

bool Matches(const std::optional<int64_t>& wanted, uint32_t number) {
  return !wanted || *wanted < 0 || *wanted == int64_t{number};
}

}  // namespace

std::string AllowedAccess(const std::vector<DeviceRule>& rules, DeviceNumber block_device) {
  std::string out;
  for (char letter : std::string_view(kAll)) {
    bool allowed = false;
    for (const DeviceRule& rule : rules) {
      if (IsForAll(rule)) {
        // Numbers and access have no say then.
        allowed = rule.allow;
        continue;
      }
      if (rule.type != "b" || !Matches(rule.major, block_device.major) ||
          !Matches(rule.minor, block_device.minor))
        continue;
      if (rule.access.empty() || rule.access.find(letter) != std::string::npos)
        allowed = rule.allow;
    }
    if (allowed) out += letter;
  }
  return out;
}

bool AllowsEveryDevice(const std::vector<DeviceRule>& rules) {
  bool allowed = false;
  for (const DeviceRule& rule : rules)
    if (IsForAll(rule)) allowed = rule.allow;
  return allowed;
}

DeviceRule BlockDeviceRule(bool allow, DeviceNumber block_device, const std::string& access) {
  DeviceRule rule;
  rule.allow = allow;
  rule.type = "b";
  rule.major = block_device.major;
  rule.minor = block_device.minor;
  rule.access = access;
  return rule;
}

}  // namespace holt::oci
