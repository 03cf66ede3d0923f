// linux.netDevices: interfaces of the host that become the container's.

#include "tests/e2e/network_fixture.h"

namespace holt {
namespace {

using testing::HasSubstr;
using testing::Not;

class NetDevicesTest : public NetworkTest {
 protected:
  void SetUp() override {
    NetworkTest::SetUp();
    device_ = "holtdev" + std::to_string(getpid() % 100'000);
  }
  void TearDown() override {
    (void)Program::Start({"/sbin/ip", "link", "del", device_}, {})->Finish();
    NetworkTest::TearDown();
  }
  // An interface of this host, with its other side in the test's namespace.
  void AddHostInterface() {
    There("link add other type veth peer name " + device_ + " netns " + std::to_string(getpid()));
    There("address add 10.9.5.1/24 dev other");
    There("link set other up");
    Ip("link set " + device_ + " address 02:00:00:00:05:02 mtu 1380");
    Ip("address add 10.9.5.2/24 dev " + device_);
    Ip("address add fd09:5::2/64 dev " + device_);
  }
  void WriteWithDevices(const std::string& devices, bool path = false) {
    WriteConfig("exec sleep 1000", path, "", R"(,"netDevices":{)" + devices + "}");
  }
  std::string HostLinks() { return Ip("-br link"); }

  std::string device_;
};

TEST_F(NetDevicesTest, AreInTheContainerUnderTheirNewNameWithAddressesAndMtu) {
  AddHostInterface();
  WriteWithDevices("\"" + device_ + R"(":{"name":"data%d"})");
  Finished created = Create("c");
  ASSERT_EQ(created.status, 0) << created.err;
  EXPECT_THAT(HostLinks(), Not(HasSubstr(device_)));
  ASSERT_EQ(Holt({"start", "c"}).status, 0);
  const std::string seen =
      Inside("cat /sys/class/net/data0/address /sys/class/net/data0/mtu; /net_probe show");
  EXPECT_THAT(seen, HasSubstr("02:00:00:00:05:02\n1380\n"));
  EXPECT_THAT(seen, HasSubstr("data0 10.9.5.2 up\n"));
  EXPECT_THAT(seen, HasSubstr("data0 fd09:5::2 up\n"));
  EXPECT_EQ(Inside("/net_probe ping 10.9.5.1"), "answered\n");
}

TEST_F(NetDevicesTest, KeepTheirNameWithoutAnother) {
  AddHostInterface();
  WriteWithDevices("\"" + device_ + "\":{}");
  Finished created = Create("c");
  ASSERT_EQ(created.status, 0) << created.err;
  EXPECT_THAT(HostLinks(), Not(HasSubstr(device_)));
  EXPECT_EQ(Holt({"delete", "--force", "c"}).status, 0);
}

TEST_F(NetDevicesTest, WhatCannotBeMovedIsNamedAndStays) {
  AddHostInterface();
  AddInterface("eth0", 1);
  WriteWithDevices("\"" + device_ + R"(":{"name":"eth0"})", true);
  Finished taken = Create("c");
  EXPECT_NE(taken.status, 0);
  EXPECT_THAT(taken.err, HasSubstr("linux.netDevices[\"" + device_ +
                                   "\"]: the container has an interface eth0"));
  EXPECT_THAT(HostLinks(), HasSubstr(device_));
  WriteWithDevices(R"("no-such":{})");
  Finished none = Create("c");
  EXPECT_NE(none.status, 0);
  EXPECT_THAT(none.err, HasSubstr("linux.netDevices[\"no-such\"]: no such interface"));
  EXPECT_TRUE(Leftovers().empty());
}

}  // namespace
}  // namespace holt
