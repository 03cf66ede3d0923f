#include "guest-agent/block/added_disk.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <filesystem>

#include "base/file.h"

namespace holt::guest_agent {

using base::Status;

namespace {

constexpr char kDriver[] = "/sys/bus/virtio/drivers/virtio_blk";

}  // namespace

bool HasSize(const std::string& sysfs_block, const std::string& name) {
  auto size = base::ReadFile(sysfs_block + "/" + name + "/size", 64);
  return size && *size != "0\n";
}

Status SetReadOnly(const std::string& name) {
  TRY_ASSIGN(base::UniqueFd fd, base::Open("/dev/" + name, O_RDONLY));
  const int yes = 1;
  if (ioctl(fd.get(), BLKROSET, &yes) != 0) return HOLT_ERRNO("/dev/{}: make it read-only", name);
  return {};
}

bool IsFree(const std::string& name) {
  // One that is not there is nobody's.
  auto fd = base::Open("/dev/" + name, O_RDONLY | O_EXCL);
  return fd || fd.error().err() != EBUSY;
}

Status TakeFromHolders(const std::string& name) {
  std::error_code error;
  const auto device =
      std::filesystem::read_symlink("/sys/class/block/" + name + "/device", error).filename();
  if (error) return base::ErrnoError(error.value(), fmt::format("disk {}: its device", name));
  // The driver ends the disk for whoever has it, and finds it again.
  TRY_CONTEXT(base::WriteFile(std::string(kDriver) + "/unbind", device.string()),
              fmt::format("disk {}", name));
  TRY_CONTEXT(base::WriteFile(std::string(kDriver) + "/bind", device.string()),
              fmt::format("disk {}", name));
  return {};
}

}  // namespace holt::guest_agent
