#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

// The CPU back end `software`: QEMU's TCG as processor and bus. Devices with a host side (fs,
// vsock) are ours, over vhost-user.
namespace holt::vmm {

// What QEMU is started with. The numbers are descriptors as QEMU will see them.
struct SoftwareSpec {
  std::string qemu;  // path of qemu-system-x86_64; becomes argv[0]
  uint32_t vcpus = 1;
  // Each vCPU has a thread of its own; otherwise they take turns. Not every QEMU can.
  bool parallel = false;
  uint64_t memory_bytes = 0;
  std::string cmdline;
  // Opened again by QEMU through /proc/self/fd: its user must be able to read the files.
  int kernel_fd = -1;     // vmlinux with a PVH note, or bzImage
  int initramfs_fd = -1;  // -1: none
  // Stream socket; what the guest writes to hvc0 comes out of the other end.
  int console_fd = -1;
  // Stream socket of QMP. The machine waits for "cont" there.
  int qmp_fd = -1;
  // Connected vhost-user sockets, the front end's side.
  int vsock_fd = -1;  // -1: no vsock
  struct Share {
    std::string tag;
    int fd = -1;
  };
  std::vector<Share> shares;
  // A network device, whose back end listens at `socket` in the directory `directory_fd`.
  struct Net {
    int directory_fd = -1;
    std::string socket;
    std::string mac;  // "02:00:00:00:00:01"
    uint32_t queue_pairs = 1;
  };
  std::vector<Net> nets;
  // Connected vhost-user sockets, one for each disk, the front end's side.
  std::vector<int> disk_fds;
};

// QEMU's command line for the machine. Pure: opens nothing. Errors: a tag or a number that QEMU's
// option syntax could take for something else, no memory, too many vCPUs.
base::Result<std::vector<std::string>> SoftwareArgv(const SoftwareSpec& spec);

inline constexpr uint32_t kMaxSoftwareVcpus = 32;
// Bytes of a virtio-fs tag (virtio 1.2, 5.11.4).
inline constexpr size_t kMaxShareTag = 36;

// True for a tag that is 1 to kMaxShareTag letters, digits, '.', '_' and '-'.
bool IsShareTag(const std::string& tag);

}  // namespace holt::vmm
