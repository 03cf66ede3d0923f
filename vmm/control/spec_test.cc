#include "vmm/control/spec.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace holt::vmm {
namespace {

using ::testing::HasSubstr;

v1::VmSpec Good() {
  v1::VmSpec spec;
  spec.set_accel(v1::ACCEL_SOFTWARE);
  spec.set_vcpus(1);
  spec.set_memory_bytes(256 << 20);
  spec.mutable_software()->set_qmp_fd(open("/dev/null", O_RDWR | O_CLOEXEC));
  spec.mutable_software()->set_console_source_fd(open("/dev/null", O_RDWR | O_CLOEXEC));
  return spec;
}

TEST(SpecTest, TakesItsDescriptors) {
  v1::VmSpec spec = Good();
  {
    auto machine = TakeMachineSpec(spec);
    ASSERT_TRUE(machine.ok()) << machine.error().message();
    EXPECT_EQ(machine->software.qmp.get(), spec.software().qmp_fd());
  }
  EXPECT_LT(fcntl(spec.software().qmp_fd(), F_GETFD), 0) << "closed with the spec";
}

TEST(SpecTest, ErrorsNameTheField) {
  auto message = [](auto change) {
    v1::VmSpec spec = Good();
    change(spec);
    auto machine = TakeMachineSpec(spec);
    return machine.ok() ? std::string("accepted") : machine.error().message();
  };
  EXPECT_THAT(message([](auto& s) { s.set_vcpus(0); }), HasSubstr("0 vCPUs"));
  EXPECT_THAT(message([](auto& s) { s.set_vcpus(33); }), HasSubstr("33 vCPUs"));
  EXPECT_THAT(message([](auto& s) { s.set_memory_bytes(8 << 20); }),
              HasSubstr("8 MiB of memory are too little"));
  EXPECT_THAT(message([](auto& s) { s.set_memory_bytes((256 << 20) + 1); }),
              HasSubstr("memory of"));
  EXPECT_THAT(message([](auto& s) { s.clear_accel(); }), HasSubstr("accel"));
  EXPECT_THAT(message([](auto& s) { s.mutable_software()->set_qmp_fd(1); }),
              HasSubstr("software.qmp_fd"));
  EXPECT_THAT(message([](auto& s) { s.mutable_software()->set_qmp_fd(999); }),
              HasSubstr("descriptor 999 is not open"));
  EXPECT_THAT(
      message([](auto& s) { s.mutable_software()->set_console_source_fd(s.software().qmp_fd()); }),
      HasSubstr("named twice"));
  EXPECT_THAT(message([](auto& s) { s.add_nets()->set_mac("abcdef"); }),
              HasSubstr("one of net.tap_fd and net.stream_fd"));
  auto with_net = [](const char* mac, uint32_t mtu) {
    return [mac, mtu](auto& s) {
      v1::Net* net = s.add_nets();
      net->set_tap_fd(open("/dev/null", O_RDWR | O_CLOEXEC));
      net->set_mac(mac);
      net->set_mtu(mtu);
    };
  };
  EXPECT_THAT(message(with_net("bbcdef", 65535)), HasSubstr("accepted"));
  EXPECT_THAT(message(with_net("bbcde", 0)), HasSubstr("net.mac"));
  EXPECT_THAT(message(with_net("abcdef", 0)), HasSubstr("net.mac")) << "a group's";
  EXPECT_THAT(message(with_net("bbcdef", 67)), HasSubstr("net.mtu"));
  EXPECT_THAT(message(with_net("bbcdef", 65536)), HasSubstr("net.mtu"));
  EXPECT_THAT(message([](auto& s) {
                v1::Net* net = s.add_nets();
                net->set_tap_fd(open("/dev/null", O_RDWR | O_CLOEXEC));
                for (int i = 0; i < 16; ++i) net->add_more_tap_fds(99);
              }),
              HasSubstr("net.more_tap_fds: 16"));
  auto with_disk = [](const char* path, const char* id) {
    return [path, id](auto& s) {
      v1::Disk* disk = s.add_disks();
      disk->set_fd(open(path, O_RDWR | O_CLOEXEC));
      disk->set_id(id);
    };
  };
  EXPECT_THAT(message(with_disk("/dev/null", "holt-0")), HasSubstr("holt-0 is no block device"));
  EXPECT_THAT(message(with_disk("/dev/null", "a,b")), HasSubstr("disk.id"));
  EXPECT_THAT(message(with_disk("/dev/null", "holt-0123456789abcdef")), HasSubstr("disk.id"));
  EXPECT_THAT(message([](auto& s) { s.add_disks()->set_id("holt-0"); }), HasSubstr("disk.fd"));
  EXPECT_THAT(message([](auto& s) { s.add_spare_disks(); }),
              HasSubstr("spare_disk.ring_fds: 0 of them"));
  EXPECT_THAT(message([](auto& s) {
                s.add_spare_disks()->add_ring_fds(open("/dev/null", O_RDWR | O_CLOEXEC));
              }),
              HasSubstr("no ring to take over"));
  EXPECT_THAT(message([](auto& s) { s.add_shares()->set_tag("a,b=c"); }), HasSubstr("share tag"));
}

TEST(SpecTest, OfADiskThatComesLaterTheNumbersAreChecked) {
  auto message = [](auto change) {
    v1::PlugDiskRequest request;
    request.set_id("holt-3");
    request.set_bytes(1 << 20);
    request.set_block_bytes(4096);
    change(request);
    auto disk = ReadPluggedDisk(request);
    return disk.ok() ? disk->id + " accepted" : disk.error().message();
  };
  EXPECT_EQ(message([](auto&) {}), "holt-3 accepted");
  EXPECT_THAT(message([](auto& r) { r.set_id(""); }), HasSubstr("disk.id"));
  EXPECT_THAT(message([](auto& r) { r.set_id("holt-0123456789abcdef"); }), HasSubstr("disk.id"));
  EXPECT_THAT(message([](auto& r) { r.set_bytes(511); }), HasSubstr("511 bytes"));
  for (uint32_t block : {0u, 256u, 513u, 1u << 17})
    EXPECT_THAT(message([block](auto& r) { r.set_block_bytes(block); }), HasSubstr("in blocks of"));
}

}  // namespace
}  // namespace holt::vmm
