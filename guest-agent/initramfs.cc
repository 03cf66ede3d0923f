#include "guest-agent/initramfs.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <iterator>
#include <utility>

namespace holt::guest_agent {
namespace {

// Headers and contents begin at multiples of four, the archive ends at one of a block.
constexpr size_t kAlign = 4;
constexpr size_t kBlock = 512;

void PadTo(std::string& bytes, size_t alignment) {
  bytes.resize((bytes.size() + alignment - 1) / alignment * alignment, '\0');
}

}  // namespace

void NewcArchive::Append(const Entry& entry) {
  // The name's length counts its terminating NUL; the checksum field is 0 in "070701".
  fmt::format_to(
      std::back_inserter(bytes_),
      "070701{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}",
      next_inode_++, entry.mode, /*uid=*/0, /*gid=*/0, entry.links, /*mtime=*/0,
      entry.content.size(), /*major=*/0, /*minor=*/0, entry.device_major, entry.device_minor,
      entry.name.size() + 1, /*check=*/0);
  bytes_ += entry.name;
  bytes_ += '\0';
  PadTo(bytes_, kAlign);
  bytes_ += entry.content;
  PadTo(bytes_, kAlign);
}

void NewcArchive::AddDirectory(std::string_view name, uint32_t permissions) {
  Append({.name = name, .mode = S_IFDIR | permissions, .links = 2});
}

void NewcArchive::AddFile(std::string_view name, uint32_t permissions, std::string_view content) {
  Append({.name = name, .mode = S_IFREG | permissions, .content = content});
}

void NewcArchive::AddCharDevice(std::string_view name, uint32_t permissions, uint32_t major,
                                uint32_t minor) {
  Append(
      {.name = name, .mode = S_IFCHR | permissions, .device_major = major, .device_minor = minor});
}

std::string NewcArchive::Finish() {
  next_inode_ = 0;
  Append({.name = "TRAILER!!!"});
  PadTo(bytes_, kBlock);
  next_inode_ = 1;
  return std::exchange(bytes_, {});
}

std::string BuildGuestInitramfs(std::string_view agent) {
  NewcArchive archive;
  archive.AddDirectory("dev", 0755);
  archive.AddCharDevice("dev/console", 0600, 5, 1);
  archive.AddCharDevice("dev/null", 0666, 1, 3);
  archive.AddDirectory("proc", 0555);
  archive.AddDirectory("run", 0755);
  archive.AddDirectory("sys", 0555);
  archive.AddDirectory("tmp", 01777);
  archive.AddFile("init", 0755, agent);
  return archive.Finish();
}

}  // namespace holt::guest_agent
