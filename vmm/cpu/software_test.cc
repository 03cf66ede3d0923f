#include "vmm/cpu/software.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holt::vmm {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

SoftwareSpec Good() {
  SoftwareSpec spec;
  spec.qemu = "/usr/bin/qemu-system-x86_64";
  spec.memory_bytes = 256 << 20;
  spec.kernel_fd = 10;
  spec.console_fd = 11;
  spec.qmp_fd = 12;
  return spec;
}

TEST(SoftwareArgvTest, NamesEveryDescriptorAndWaitsForCont) {
  SoftwareSpec spec = Good();
  spec.initramfs_fd = 13;
  spec.vsock_fd = 14;
  spec.shares = {{.tag = "holt", .fd = 15}};
  auto argv = SoftwareArgv(spec);
  ASSERT_TRUE(argv.ok()) << argv.error().message();
  EXPECT_THAT(*argv, Contains("/proc/self/fd/10"));
  EXPECT_THAT(*argv, Contains("/proc/self/fd/13"));
  EXPECT_THAT(*argv, Contains(HasSubstr("fd=14")));
  EXPECT_THAT(*argv, Contains(HasSubstr("fd=15")));
  EXPECT_THAT(*argv, Contains(HasSubstr("tag=holt")));
  EXPECT_THAT(*argv, Contains("-S"));
  EXPECT_THAT(*argv, Contains("-no-reboot"));
  EXPECT_THAT(*argv, Contains(HasSubstr("memory-backend-memfd")));
}

TEST(SoftwareArgvTest, VcpusTakeTurnsUnlessTheyMayNot) {
  SoftwareSpec spec = Good();
  spec.vcpus = 4;
  EXPECT_THAT(*SoftwareArgv(spec), Contains(HasSubstr("thread=single")));
  spec.parallel = true;
  EXPECT_THAT(*SoftwareArgv(spec), Contains(HasSubstr("thread=multi")));
}

TEST(SoftwareArgvTest, RefusesWhatQemusOptionSyntaxCouldTakeForMore) {
  for (const char* tag : {"", "a,b", "a=b", "a b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}) {
    SoftwareSpec spec = Good();
    spec.shares = {{.tag = tag, .fd = 15}};
    EXPECT_FALSE(SoftwareArgv(spec).ok()) << tag;
  }
  EXPECT_FALSE(IsShareTag("../x"));
  EXPECT_TRUE(IsShareTag("holt"));
}

// No image whose format could be guessed, no disk, no network, no file but by descriptor.
TEST(SoftwareArgvTest, NothingOfTheHostIsNamedButDescriptors) {
  SoftwareSpec spec = Good();
  spec.initramfs_fd = 13;
  spec.vsock_fd = 14;
  spec.shares = {{.tag = "holt", .fd = 15}};
  spec.cmdline = "console=hvc0";
  auto argv = SoftwareArgv(spec);
  ASSERT_TRUE(argv.ok()) << argv.error().message();
  for (const char* option : {"-nodefaults", "-no-user-config", "-sandbox"})
    EXPECT_THAT(*argv, Contains(option));
  for (size_t i = 1; i < argv->size(); ++i) {
    const std::string& arg = (*argv)[i];
    if (arg.find('/') != std::string::npos) {
      EXPECT_TRUE(arg.starts_with("/proc/self/fd/")) << arg;
    }
    for (const char* name : {"-drive", "-blockdev", "-hda", "-fda", "-cdrom", "-sd", "-mtdblock",
                             "-pflash", "-fsdev", "-virtfs", "-netdev", "-nic", "-net", "-usb",
                             "-vnc", "-gdb", "-s", "-loadvm", "-incoming"})
      EXPECT_NE(arg, name);
    // QEMU's own.
    if (arg == "-bios") EXPECT_EQ(argv->at(i + 1), "qboot.rom");
    for (const char* part : {"file=", "path=", "virtio-blk", "scsi", "nvme", "virtio-net"})
      EXPECT_THAT(arg, Not(HasSubstr(part)));
  }
}

// A network device leads to a socket of ours, never to an interface of the host's.
TEST(SoftwareArgvTest, NetworksAreVhostUser) {
  SoftwareSpec spec = Good();
  spec.nets = {{.directory_fd = 16, .socket = "net0.sock", .mac = "02:00:00:00:0a:01"}};
  auto argv = SoftwareArgv(spec);
  ASSERT_TRUE(argv.ok()) << argv.error().message();
  EXPECT_THAT(*argv, Contains("socket,id=net0,path=/proc/self/fd/16/net0.sock"));
  EXPECT_THAT(*argv, Contains("vhost-user,id=net0,chardev=net0,queues=1"));
  EXPECT_THAT(*argv, Contains(HasSubstr("mac=02:00:00:00:0a:01,ctrl_vq=off,mq=off")));
  spec.nets[0].queue_pairs = 2;
  EXPECT_THAT(*SoftwareArgv(spec), Contains("vhost-user,id=net0,chardev=net0,queues=2"));
  EXPECT_THAT(*SoftwareArgv(spec), Contains(HasSubstr("ctrl_vq=on,mq=on,ctrl_rx=off")));
  for (const char* socket : {"", "a,b", "../x/y", "a=b"}) {
    spec.nets[0].socket = socket;
    EXPECT_FALSE(SoftwareArgv(spec).ok()) << socket;
  }
  spec.nets[0].socket = "net0.sock";
  for (const char* mac : {"", "02:00:00:00:0a:0", "02:00:00:00:0a:0g", "02-00-00-00-0a-01"}) {
    spec.nets[0].mac = mac;
    EXPECT_FALSE(SoftwareArgv(spec).ok()) << mac;
  }
}

// A disk leads to a socket of ours, never to a file or device of the host's.
TEST(SoftwareArgvTest, DisksAreVhostUser) {
  SoftwareSpec spec = Good();
  spec.vcpus = 2;
  spec.disk_fds = {17, 18};
  auto argv = SoftwareArgv(spec);
  ASSERT_TRUE(argv.ok()) << argv.error().message();
  EXPECT_THAT(*argv, Contains("socket,id=disk1,fd=18"));
  EXPECT_THAT(*argv, Contains(HasSubstr("vhost-user-blk,chardev=disk1,num-queues=2,")));
  EXPECT_THAT(*argv, Not(Contains("-drive")));
  spec.disk_fds = {-1};
  EXPECT_FALSE(SoftwareArgv(spec).ok());
}

TEST(SoftwareArgvTest, RefusesNonsense) {
  SoftwareSpec spec = Good();
  spec.vcpus = 0;
  EXPECT_FALSE(SoftwareArgv(spec).ok());
  spec = Good();
  spec.memory_bytes = 1;
  EXPECT_FALSE(SoftwareArgv(spec).ok());
  spec = Good();
  spec.kernel_fd = -1;
  EXPECT_FALSE(SoftwareArgv(spec).ok());
}

}  // namespace
}  // namespace holt::vmm
