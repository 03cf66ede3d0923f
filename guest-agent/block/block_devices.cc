#include "guest-agent/block/block_devices.h"

#include <sys/wait.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <thread>

#include "base/file.h"
#include "guest-agent/block/added_disk.h"
#include "guest-agent/init/aside.h"

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

// Empty where there is none.
std::string SerialOf(const std::string& directory) {
  auto serial = base::ReadFile(directory + "/serial", 4096);
  if (!serial) return "";
  // A device says it as it likes, so the end of it is where it says so.
  return serial->substr(0, serial->find_first_of(std::string_view("\0\n ", 3)));
}

struct Disk {
  std::string name;
  oci::DeviceNumber number;
};

// Disks by serial.
std::map<std::string, Disk> Disks(const std::string& sysfs_block) {
  std::map<std::string, Disk> out;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(sysfs_block, error)) {
    const std::string directory = entry.path().string();
    const std::string serial = SerialOf(directory);
    auto number = base::ReadFile(directory + "/dev", 64);
    if (serial.empty() || !number) continue;
    auto parsed = ParseNumber(*number);
    if (parsed) out.emplace(serial, Disk{entry.path().filename().string(), *parsed});
  }
  return out;
}

bool IsReady(const Disk& disk, const agent::v1::BlockDevice& wanted,
             const std::string& sysfs_block) {
  return !wanted.added() || HasSize(sysfs_block, disk.name);
}

// 0, or the errno of the last that could not be.
int GiveBack(const std::vector<BlockDevice>& devices) {
  int error = 0;
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (const BlockDevice& device : devices) {
    const std::string& name = device.added_name;
    if (name.empty()) continue;
    // A file system is unmounted some time after the last process. One that somebody else mounted,
    // too, is not waited for any longer.
    while (!IsFree(name) && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(kInterval);
    // The host may have been faster, and its place may have another.
    const std::string serial = SerialOf(std::string(kSysfsBlock) + "/" + name);
    if (!serial.empty() && serial != device.serial) continue;
    if (auto taken = TakeFromHolders(name); !taken) error = std::max(taken.error().err(), 1);
  }
  return error;
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
      auto it = disks.find(device.serial());
      if (it != disks.end() && IsReady(it->second, device, sysfs_block)) {
        if (device.added() && device.read_only()) TRY(SetReadOnly(it->second.name));
        out.push_back({{device.host_major(), device.host_minor()},
                       it->second.number,
                       device.serial(),
                       device.added() ? it->second.name : ""});
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

void GiveBackAddedDisks(Reaper& reaper, const std::vector<BlockDevice>& devices,
                        const std::function<void(base::Status)>& done) {
  if (std::ranges::all_of(devices, [](const auto& device) { return device.added_name.empty(); }))
    return done({});
  auto begun = DoAside(
      reaper, [&] { return GiveBack(devices); },
      [done](int status) {
        if (status == 0) return done({});
        done(base::ErrnoError(WIFEXITED(status) ? WEXITSTATUS(status) : EIO, "give disks back"));
      });
  if (!begun) done(std::move(begun).error().Wrap("give disks back"));
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
