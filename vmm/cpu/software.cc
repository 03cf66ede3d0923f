#include "vmm/cpu/software.h"

#include <algorithm>
#include <cctype>

#include "vmm/devices/blk_format.h"

namespace holt::vmm {

using base::Code;
using base::MakeError;

namespace {

constexpr uint64_t kMiB = 1 << 20;

bool IsTagCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

bool IsMac(const std::string& text) {
  if (text.size() != 17) return false;
  for (size_t i = 0; i < text.size(); ++i)
    if (i % 3 == 2 ? text[i] != ':' : std::isxdigit(static_cast<unsigned char>(text[i])) == 0)
      return false;
  return true;
}

}  // namespace

bool IsShareTag(const std::string& tag) {
  return !tag.empty() && tag.size() <= kMaxShareTag &&
         std::all_of(tag.begin(), tag.end(), IsTagCharacter);
}

base::Result<std::vector<std::string>> SoftwareArgv(const SoftwareSpec& spec) {
  if (spec.qemu.empty()) return MakeError(Code::kInvalidArgument, "no path of QEMU");
  if (spec.vcpus == 0 || spec.vcpus > kMaxSoftwareVcpus)
    return MakeError(Code::kInvalidArgument, "{} vCPUs, 1 to {} are possible", spec.vcpus,
                     kMaxSoftwareVcpus);
  if (spec.memory_bytes < kMiB || spec.memory_bytes % kMiB != 0)
    return MakeError(Code::kInvalidArgument, "memory of {} bytes is not a number of MiB",
                     spec.memory_bytes);
  if (spec.kernel_fd < 0 || spec.console_fd < 0 || spec.qmp_fd < 0)
    return MakeError(Code::kInvalidArgument, "kernel, console and QMP descriptors are needed");

  std::vector<std::string> argv = {
      spec.qemu,
      // Nothing but what is named here; no configuration file, no default device.
      "-nodefaults", "-no-user-config", "-display", "none", "-sandbox",
      "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
      // acpi: its registers are how the guest says power-off and reset apart. rtc: without it the
      // kernel waits a second for one.
      "-M",
      // NOLINTNEXTLINE(bugprone-suspicious-missing-comma): one argument
      "microvm,acpi=on,pit=on,pic=on,rtc=on,isa-serial=off,pcie=off,usb=off,x-option-roms=off,"
      "memory-backend=mem",
      // With ACPI microvm takes SeaBIOS by itself, which newer ones need an option ROM for to start
      // a kernel by PVH. This one does that, and nothing else.
      "-bios", "qboot.rom", "-accel",
      spec.parallel ? "tcg,thread=multi,tb-size=128" : "tcg,thread=single,tb-size=128", "-cpu",
      "max,-la57", "-smp", fmt::format("{}", spec.vcpus), "-m",
      fmt::format("{}M", spec.memory_bytes / kMiB),
      // One shared file: the vhost-user back ends map it.
      "-object",
      fmt::format("memory-backend-memfd,id=mem,size={}M,share=on", spec.memory_bytes / kMiB),
      "-global", "virtio-mmio.force-legacy=false", "-kernel",
      fmt::format("/proc/self/fd/{}", spec.kernel_fd), "-append", spec.cmdline,
      // A reset ends the machine, and QMP says that it was one.
      "-no-reboot", "-S", "-chardev", fmt::format("socket,id=qmp,fd={}", spec.qmp_fd), "-mon",
      "chardev=qmp,mode=control", "-chardev",
      fmt::format("socket,id=console,fd={}", spec.console_fd), "-device",
      "virtio-serial-device,max_ports=1", "-device", "virtconsole,chardev=console", "-device",
      "virtio-rng-device"};
  auto add = [&](std::initializer_list<std::string> more) { argv.insert(argv.end(), more); };
  if (spec.initramfs_fd >= 0) add({"-initrd", fmt::format("/proc/self/fd/{}", spec.initramfs_fd)});
  if (spec.vsock_fd >= 0)
    add({"-chardev", fmt::format("socket,id=vsock,fd={}", spec.vsock_fd), "-device",
         "vhost-user-vsock-device,chardev=vsock"});
  for (size_t i = 0; i < spec.shares.size(); ++i) {
    const SoftwareSpec::Share& share = spec.shares[i];
    if (!IsShareTag(share.tag))
      return MakeError(Code::kInvalidArgument, "share tag \"{}\"", share.tag);
    if (share.fd < 0)
      return MakeError(Code::kInvalidArgument, "share {} has no descriptor", share.tag);
    add({"-chardev", fmt::format("socket,id=fs{},fd={}", i, share.fd), "-device",
         fmt::format("vhost-user-fs-device,chardev=fs{},tag={},queue-size=1024", i, share.tag)});
  }
  for (size_t i = 0; i < spec.nets.size(); ++i) {
    const SoftwareSpec::Net& net = spec.nets[i];
    if (net.directory_fd < 0 || !IsShareTag(net.socket) || !IsMac(net.mac))
      return MakeError(Code::kInvalidArgument, "net {}: socket \"{}\", address \"{}\"", i,
                       net.socket, net.mac);
    // By path, because this netdev takes no connected socket. A control queue as holt-vmm's own
    // device has it: with several pairs of queues, to say how many are used.
    const char* several = net.queue_pairs > 1 ? "on" : "off";
    add({"-chardev",
         fmt::format("socket,id=net{},path=/proc/self/fd/{}/{}", i, net.directory_fd, net.socket),
         "-netdev",
         fmt::format("vhost-user,id=net{},chardev=net{},queues={}", i, i, net.queue_pairs),
         "-device",
         fmt::format("virtio-net-device,netdev=net{},mac={},ctrl_vq={},mq={},ctrl_rx=off,"
                     "ctrl_rx_extra=off,ctrl_vlan=off,ctrl_mac_addr=off,ctrl_guest_offloads=off,"
                     "guest_announce=off",
                     i, net.mac, several, several)});
  }
  for (size_t i = 0; i < spec.disk_fds.size(); ++i) {
    if (spec.disk_fds[i] < 0)
      return MakeError(Code::kInvalidArgument, "disk {} has no descriptor", i);
    add({"-chardev", fmt::format("socket,id=disk{},fd={}", i, spec.disk_fds[i]), "-device",
         fmt::format("vhost-user-blk,chardev=disk{},num-queues={},queue-size={},config-wce=off", i,
                     blk::QueuesFor(spec.vcpus), blk::kQueueSize)});
  }
  return argv;
}

}  // namespace holt::vmm
