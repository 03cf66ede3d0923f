#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace holt::guest_agent {

// An uncompressed "newc" cpio archive in memory, the format that the kernel unpacks as its initial
// root file system (Documentation/driver-api/early-userspace/buffer-format.rst). Owner 0:0, time 0
// and inode numbers in order of addition: the same additions give the same bytes, by whoever and
// wherever.
class NewcArchive {
 public:
  // `name` is relative, without a leading slash; parents are added first, by the caller.
  void AddDirectory(std::string_view name, uint32_t permissions);
  // `permissions` are the low 12 bits of the mode.
  void AddFile(std::string_view name, uint32_t permissions, std::string_view content);
  void AddCharDevice(std::string_view name, uint32_t permissions, uint32_t major, uint32_t minor);

  // Appends the trailer and returns the bytes, padded to 512. The archive is empty afterwards.
  std::string Finish();

 private:
  struct Entry {
    std::string_view name;
    uint32_t mode = 0;
    uint32_t links = 1;
    uint32_t device_major = 0;
    uint32_t device_minor = 0;
    std::string_view content;
  };
  void Append(const Entry& entry);

  std::string bytes_;
  uint32_t next_inode_ = 1;
};

// The initramfs of a holt guest: `agent` as /init, the mount points that it starts from, and
// /dev/console, which the kernel opens as stdin, stdout and stderr of /init before anything is
// mounted.
std::string BuildGuestInitramfs(std::string_view agent);

}  // namespace holt::guest_agent
