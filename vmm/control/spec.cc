#include "vmm/control/spec.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <bit>
#include <cstring>
#include <set>

#include "base/file.h"
#include "vmm/cpu/software.h"

namespace holt::vmm {

using base::Code;
using base::MakeError;
using base::Result;
using base::UniqueFd;

namespace {

// Takes over descriptors by number, each once. Those taken are closed when the spec turns out bad.
class FdTaker {
 public:
  // 0 is "not given": an invalid UniqueFd.
  Result<UniqueFd> Optional(int number, std::string_view name) {
    if (number == 0) return UniqueFd();
    if (number <= 2)
      return MakeError(Code::kInvalidArgument, "{}: {} is not a descriptor to give away", name,
                       number);
    if (fcntl(number, F_GETFD) < 0)
      return MakeError(Code::kInvalidArgument, "{}: descriptor {} is not open", name, number);
    if (!taken_.insert(number).second)
      return MakeError(Code::kInvalidArgument, "{}: descriptor {} is named twice", name, number);
    UniqueFd fd(number);
    TRY_CONTEXT(base::SetCloexec(number, true), name);
    return fd;
  }
  Result<UniqueFd> Required(int number, std::string_view name) {
    if (number == 0) return MakeError(Code::kInvalidArgument, "{} is not given", name);
    return Optional(number, name);
  }

 private:
  std::set<int> taken_;
};

Result<NetIdentity> ReadIdentity(const v1::Net& net) {
  NetIdentity identity;
  // The lowest bit of the first byte makes a group of it.
  if (net.mac().size() != identity.mac.size() || (net.mac()[0] & 1) != 0)
    return MakeError(Code::kInvalidArgument, "net.mac is not the address of an interface");
  std::memcpy(identity.mac.data(), net.mac().data(), identity.mac.size());
  // The smallest is IPv4's (RFC 791).
  if (net.mtu() != 0 && (net.mtu() < 68 || net.mtu() > UINT16_MAX))
    return MakeError(Code::kInvalidArgument, "net.mtu of {} bytes", net.mtu());
  identity.mtu = static_cast<uint16_t>(net.mtu());
  return identity;
}

base::Status CheckDiskId(const std::string& id) {
  if (id.size() > blk::kIdBytes || !IsShareTag(id))
    return MakeError(Code::kInvalidArgument, "disk.id \"{}\"", id);
  return {};
}

// What there is to know of a block device before the filter forbids to ask.
Result<BlkDisk> ReadDisk(const v1::Disk& from, UniqueFd fd) {
  TRY(CheckDiskId(from.id()));
  struct stat file {};
  if (fstat(fd.get(), &file) != 0) return HOLT_ERRNO("stat");
  if (!S_ISBLK(file.st_mode))
    return MakeError(Code::kInvalidArgument, "{} is no block device", from.id());
  const int flags = fcntl(fd.get(), F_GETFL);
  if ((flags & O_ACCMODE) != (from.read_only() ? O_RDONLY : O_RDWR))
    return MakeError(Code::kInvalidArgument, "{}: is not open as read_only says", from.id());
  BlkDisk disk;
  disk.read_only = from.read_only();
  disk.id = from.id();
  int block = 0;
  if (ioctl(fd.get(), BLKGETSIZE64, &disk.bytes) != 0 || ioctl(fd.get(), BLKSSZGET, &block) != 0)
    return HOLT_ERRNO("{}: its size", from.id());
  disk.block_bytes = static_cast<uint32_t>(block);
  disk.fd = std::move(fd);
  return disk;
}

Result<MachineSpec::SpareDiskSpec> TakeSpareDisk(const v1::SpareDisk& from, uint32_t vcpus,
                                                 FdTaker& fds) {
  MachineSpec::SpareDiskSpec spare;
  if (from.ring_fds_size() != static_cast<int>(blk::QueuesFor(vcpus)))
    return MakeError(Code::kInvalidArgument, "spare_disk.ring_fds: {} of them",
                     from.ring_fds_size());
  for (int number : from.ring_fds()) {
    TRY_ASSIGN(UniqueFd fd, fds.Required(number, "spare_disk.ring_fds"));
    TRY_ASSIGN_CONTEXT(auto ring, BlkRing::Adopt(std::move(fd), from.ring_parameters()),
                       "spare_disk.ring_fds");
    spare.rings.push_back(std::move(ring));
  }
  TRY_ASSIGN(spare.vhost_user, fds.Optional(from.vhost_user_fd(), "spare_disk.vhost_user_fd"));
  return spare;
}

}  // namespace

Result<BlkDisk> ReadPluggedDisk(const v1::PlugDiskRequest& request) {
  TRY(CheckDiskId(request.id()));
  constexpr uint32_t kMaxBlock = 64 << 10;
  if (request.bytes() < blk::kSectorBytes || request.block_bytes() < blk::kSectorBytes ||
      request.block_bytes() > kMaxBlock || !std::has_single_bit(request.block_bytes()))
    return MakeError(Code::kInvalidArgument, "disk {}: {} bytes in blocks of {}", request.id(),
                     request.bytes(), request.block_bytes());
  BlkDisk disk;
  disk.bytes = request.bytes();
  disk.block_bytes = request.block_bytes();
  disk.read_only = request.read_only();
  disk.id = request.id();
  return disk;
}

Result<MachineSpec> TakeMachineSpec(const v1::VmSpec& spec) {
  constexpr uint64_t kMiB = 1 << 20;
  if (spec.vcpus() == 0 || spec.vcpus() > kMaxVcpus)
    return MakeError(Code::kInvalidArgument, "{} vCPUs (1 to {} are possible)", spec.vcpus(),
                     kMaxVcpus);
  if (spec.memory_bytes() < kMinMemoryBytes)
    return MakeError(Code::kInvalidArgument,
                     "{} MiB of memory are too little for a guest (at least {} MiB)",
                     spec.memory_bytes() / kMiB, kMinMemoryBytes / kMiB);
  if (spec.memory_bytes() > kMaxMemoryBytes || spec.memory_bytes() % kMiB != 0)
    return MakeError(Code::kInvalidArgument, "memory of {} bytes (a number of MiB, up to {} GiB)",
                     spec.memory_bytes(), kMaxMemoryBytes >> 30);
  MachineSpec machine;
  machine.vcpus = spec.vcpus();
  machine.memory_bytes = spec.memory_bytes();
  machine.cmdline = spec.cmdline();

  FdTaker fds;
  TRY_ASSIGN(machine.console, fds.Optional(spec.console_fd(), "console_fd"));
  if (spec.has_vsock()) {
    const v1::Vsock& from = spec.vsock();
    MachineSpec::VsockSpec vsock;
    vsock.guest_cid = from.guest_cid();
    TRY_ASSIGN(vsock.listener, fds.Optional(from.listen_fd(), "vsock.listen_fd"));
    TRY_ASSIGN(vsock.directory, fds.Optional(from.directory_fd(), "vsock.directory_fd"));
    vsock.name = from.name();
    machine.vsock = std::move(vsock);
  }
  for (const v1::Share& from : spec.shares()) {
    if (!IsShareTag(from.tag()))
      return MakeError(Code::kInvalidArgument, "share tag \"{}\"", from.tag());
    MachineSpec::ShareSpec share;
    share.tag = from.tag();
    TRY_ASSIGN(share.vhost_user, fds.Optional(from.vhost_user_fd(), "share.vhost_user_fd"));
    machine.shares.push_back(std::move(share));
  }
  for (const v1::Net& from : spec.nets()) {
    MachineSpec::NetSpec net;
    if ((from.tap_fd() != 0) == (from.stream_fd() != 0))
      return MakeError(Code::kInvalidArgument, "one of net.tap_fd and net.stream_fd is needed");
    TRY_ASSIGN(UniqueFd tap, fds.Optional(from.tap_fd(), "net.tap_fd"));
    TRY_ASSIGN(UniqueFd stream, fds.Optional(from.stream_fd(), "net.stream_fd"));
    if (from.more_tap_fds_size() >= static_cast<int>(NetDevice::kMaxPairs) ||
        (stream && from.more_tap_fds_size() != 0))
      return MakeError(Code::kInvalidArgument, "net.more_tap_fds: {} of them",
                       from.more_tap_fds_size());
    net.ends.push_back(tap ? MakeTapEnd(std::move(tap)) : MakeStreamEnd(std::move(stream)));
    for (int number : from.more_tap_fds()) {
      TRY_ASSIGN(UniqueFd more, fds.Required(number, "net.more_tap_fds"));
      net.ends.push_back(MakeTapEnd(std::move(more)));
    }
    TRY_ASSIGN(net.vhost_user_listener,
               fds.Optional(from.vhost_user_listen_fd(), "net.vhost_user_listen_fd"));
    TRY_ASSIGN(net.identity, ReadIdentity(from));
    machine.nets.push_back(std::move(net));
  }
  for (const v1::Disk& from : spec.disks()) {
    MachineSpec::DiskSpec disk;
    TRY_ASSIGN(UniqueFd fd, fds.Required(from.fd(), "disk.fd"));
    TRY_ASSIGN(disk.vhost_user, fds.Optional(from.vhost_user_fd(), "disk.vhost_user_fd"));
    TRY_ASSIGN_CONTEXT(disk.disk, ReadDisk(from, std::move(fd)), "disk.fd");
    machine.disks.push_back(std::move(disk));
  }
  for (const v1::SpareDisk& from : spec.spare_disks()) {
    TRY_ASSIGN(auto spare, TakeSpareDisk(from, spec.vcpus(), fds));
    machine.spare_disks.push_back(std::move(spare));
  }
  if (spec.accel() == v1::ACCEL_KVM) {
    TRY_ASSIGN(machine.kvm, fds.Required(spec.kvm_fd(), "kvm_fd"));
    TRY_ASSIGN(machine.kernel, fds.Required(spec.kernel_fd(), "kernel_fd"));
    TRY_ASSIGN(machine.initramfs, fds.Optional(spec.initramfs_fd(), "initramfs_fd"));
  } else if (spec.accel() == v1::ACCEL_SOFTWARE) {
    const v1::Software& from = spec.software();
    TRY_ASSIGN(machine.software.qmp, fds.Required(from.qmp_fd(), "software.qmp_fd"));
    TRY_ASSIGN(machine.software.console_source,
               fds.Required(from.console_source_fd(), "software.console_source_fd"));
    TRY_ASSIGN(machine.software.vsock_vhost_user,
               fds.Optional(from.vsock_vhost_user_fd(), "software.vsock_vhost_user_fd"));
  } else {
    return MakeError(Code::kInvalidArgument, "accel is neither KVM nor SOFTWARE");
  }
  return machine;
}

}  // namespace holt::vmm
