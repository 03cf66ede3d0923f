#include "shim/monitor/block_devices.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <charconv>

#include "base/file.h"

namespace holt::shim {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::UniqueFd;

// The guest has loop devices of its own.
constexpr uint32_t kLoopMajor = 7;

std::string SysfsOf(oci::DeviceNumber number) {
  return fmt::format("/sys/dev/block/{}:{}", number.major, number.minor);
}

// Whether there is something to pass on.
Result<bool> IsThere(oci::DeviceNumber number) {
  auto sectors = base::ReadFile(SysfsOf(number) + "/size", 64);
  const bool guests_own = number.major == kLoopMajor;
  if (sectors) return !guests_own || *sectors != "0\n";
  if (guests_own) return false;
  return MakeError(Code::kNotFound, "the host has no block device {}:{}", number.major,
                   number.minor);
}

// Where the kernel's own /dev has it.
Result<std::string> FindNode(oci::DeviceNumber number) {
  TRY_ASSIGN(std::string text, base::ReadFile(SysfsOf(number) + "/uevent", 64 << 10));
  constexpr std::string_view kKey = "\nDEVNAME=";
  text.insert(0, "\n");
  const size_t at = text.find(kKey);
  if (at == std::string::npos)
    return MakeError(Code::kNotFound, "{}: has no name", SysfsOf(number));
  const size_t begin = at + kKey.size();
  return "/dev/" + text.substr(begin, text.find('\n', begin) - begin);
}

Result<UniqueFd> OpenDevice(oci::DeviceNumber number, bool read_only) {
  TRY_ASSIGN(const std::string path, FindNode(number));
  // What is found there is not touched before it is known: opening does something to some devices.
  TRY_ASSIGN(UniqueFd found, base::Open(path, O_PATH | O_NOFOLLOW));
  struct stat node {};
  if (fstat(found.get(), &node) != 0) return HOLT_ERRNO("{}", path);
  if (!S_ISBLK(node.st_mode) || node.st_rdev != makedev(number.major, number.minor))
    return MakeError(Code::kFailedPrecondition, "{}: is not block device {}:{}, as sysfs says",
                     path, number.major, number.minor);
  // Not by path again: it could be another by now.
  auto fd = base::Open(fmt::format("/proc/self/fd/{}", found.get()),
                       O_NONBLOCK | (read_only ? O_RDONLY : O_RDWR | O_EXCL));
  if (fd) return fd;
  const int err = fd.error().err();
  if (err == EBUSY)
    return MakeError(Code::kFailedPrecondition,
                     "{} is in use: the host has mounted it or uses it otherwise, or another "
                     "container writes to it (read-only, \"r\", it can be shared)",
                     path);
  return base::ErrnoError(err, path);
}

}  // namespace

Result<size_t> SpareDisksOf(const oci::Config& config, size_t disks) {
  auto annotation = config.annotations.find(kSpareDisksAnnotation);
  if (annotation == config.annotations.end()) return size_t{0};
  const std::string& text = annotation->second;
  size_t spares = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), spares);
  if (error != std::errc() || end != text.data() + text.size() || spares > kMaxBlockDevices - disks)
    return MakeError(Code::kInvalidArgument,
                     "annotation {}: \"{}\" is not a number from 0 to {} (a machine has {} block "
                     "devices at most)",
                     kSpareDisksAnnotation, text, kMaxBlockDevices - disks, kMaxBlockDevices);
  return spares;
}

agent::v1::BlockDevice ForAgent(const BlockDevice& device, bool added) {
  agent::v1::BlockDevice out;
  out.set_serial(device.id);
  out.set_host_major(device.number.major);
  out.set_host_minor(device.number.minor);
  out.set_added(added);
  out.set_read_only(device.read_only);
  return out;
}

Result<std::vector<BlockDevice>> OpenBlockDevices(const oci::Config& config, size_t first_id) {
  std::vector<BlockDevice> out;
  if (!config.linux_) return out;
  std::vector<oci::DeviceRule> rules;
  if (config.linux_->resources) rules = config.linux_->resources->devices;
  if (oci::AllowsEveryDevice(rules)) return out;
  for (size_t i = 0; i < config.linux_->devices.size(); ++i) {
    const oci::Device& device = config.linux_->devices[i];
    if (device.type != "b") continue;
    const oci::DeviceNumber number{static_cast<uint32_t>(device.major),
                                   static_cast<uint32_t>(device.minor)};
    const std::string access = oci::AllowedAccess(rules, number);
    const bool writes = access.find('w') != std::string::npos;
    if (!writes && access.find('r') == std::string::npos) continue;
    if (std::any_of(out.begin(), out.end(),
                    [&](const BlockDevice& other) { return other.number == number; }))
      continue;
    const std::string entry = fmt::format("linux.devices[{}]: {}", i, device.path);
    TRY_ASSIGN_CONTEXT(const bool there, IsThere(number), entry);
    if (!there) continue;
    if (out.size() == kMaxBlockDevices)
      return MakeError(Code::kResourceExhausted, "{}: a machine has {} block devices at most",
                       entry, kMaxBlockDevices);
    BlockDevice opened;
    opened.number = number;
    opened.id = fmt::format("holt-{}", first_id + out.size());
    opened.read_only = !writes;
    TRY_ASSIGN_CONTEXT(opened.fd, OpenDevice(number, opened.read_only), entry);
    out.push_back(std::move(opened));
  }
  return out;
}

}  // namespace holt::shim
