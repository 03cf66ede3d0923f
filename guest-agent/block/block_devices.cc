#include "guest-agent/block/block_devices.h"

#include <charconv>
#include <filesystem>
#include <map>
#include <thread>

#include "base/file.h"

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using namespace std::chrono_literals;

// Drivers find them while the kernel boots: who has to wait has a machine that is hardly alive.
constexpr auto kPatience = 10s;
constexpr auto kInterval = 10ms;

std::optional<oci::DeviceNumber> ParseNumber(std::string_view text) {
  oci::DeviceNumber number;
  const char* end = text.data() + text.size();
  auto [colon, bad] = std::from_chars(text.data(), end, number.major);
  if (bad != std::errc() || colon == end || *colon != ':') return std::nullopt;
  if (std::from_chars(colon + 1, end, number.minor).ec != std::errc()) return std::nullopt;
  return number;
}

// Disks by serial.
std::map<std::string, oci::DeviceNumber> Disks(const std::string& sysfs_block) {
  std::map<std::string, oci::DeviceNumber> out;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(sysfs_block, error)) {
    const std::string directory = entry.path().string();
    // A device says it as it likes, so the end of it is where it says so.
    auto serial = base::ReadFile(directory + "/serial", 4096);
    auto number = base::ReadFile(directory + "/dev", 64);
    if (!serial || !number) continue;
    auto parsed = ParseNumber(*number);
    const std::string name = serial->substr(0, serial->find_first_of(std::string_view("\0\n ", 3)));
    if (parsed) out.emplace(name, *parsed);
  }
  return out;
}

}  // namespace

Result<std::vector<BlockDevice>> FindBlockDevices(
    const google::protobuf::RepeatedPtrField<agent::v1::BlockDevice>& wanted,
    const std::string& sysfs_block) {
  std::vector<BlockDevice> out;
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (const agent::v1::BlockDevice& device : wanted) {
    while (true) {
      const auto disks = Disks(sysfs_block);
      if (auto it = disks.find(device.serial()); it != disks.end()) {
        out.push_back({{device.host_major(), device.host_minor()}, it->second});
        break;
      }
      if (std::chrono::steady_clock::now() >= deadline)
        return MakeError(Code::kNotFound, "block device {}:{}: the machine has no disk \"{}\"",
                         device.host_major(), device.host_minor(), device.serial());
      std::this_thread::sleep_for(kInterval);
    }
  }
  return out;
}

void UseGuestNumbers(const std::vector<BlockDevice>& devices, std::vector<oci::Device>& nodes) {
  for (oci::Device& node : nodes) {
    if (node.type != "b") continue;
    for (const BlockDevice& device : devices) {
      if (node.major != device.host.major || node.minor != device.host.minor) continue;
      node.major = device.guest.major;
      node.minor = device.guest.minor;
      break;
    }
  }
}

void UseGuestNumbers(const std::vector<BlockDevice>& devices, std::vector<oci::DeviceRule>& rules) {
  const std::vector<oci::DeviceRule> hosts = rules;
  for (const BlockDevice& device : devices) {
    // By that number the guest may have something else.
    std::erase_if(rules, [&](const oci::DeviceRule& rule) {
      return rule.type == "b" && rule.major == device.host.major && rule.minor == device.host.minor;
    });
  }
  for (const BlockDevice& device : devices) {
    rules.push_back(oci::BlockDeviceRule(false, device.guest, "rwm"));
    const std::string access = oci::AllowedAccess(hosts, device.host);
    if (!access.empty()) rules.push_back(oci::BlockDeviceRule(true, device.guest, access));
  }
}

oci::DeviceNumber HostNumber(const std::vector<BlockDevice>& devices, oci::DeviceNumber guest) {
  for (const BlockDevice& device : devices)
    if (device.guest == guest) return device.host;
  return guest;
}

}  // namespace holt::guest_agent
