#include "guest-agent/block/block_devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "base/file.h"

namespace holt::guest_agent {
namespace {

using ::testing::HasSubstr;

class BlockDevicesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = ::testing::TempDir() + "/sysfs" + std::to_string(getpid());
    ASSERT_TRUE(base::MakeDirs(directory_).ok());
  }
  void TearDown() override { EXPECT_TRUE(base::RemoveTree(directory_).ok()); }
  void AddDisk(const std::string& name, const std::string& serial, const std::string& number) {
    ASSERT_TRUE(base::MakeDirs(directory_ + "/" + name).ok());
    ASSERT_TRUE(base::WriteFile(directory_ + "/" + name + "/serial", serial).ok());
    ASSERT_TRUE(base::WriteFile(directory_ + "/" + name + "/dev", number + "\n").ok());
  }
  google::protobuf::RepeatedPtrField<agent::v1::BlockDevice> Wanted(const std::string& serial) {
    google::protobuf::RepeatedPtrField<agent::v1::BlockDevice> out;
    agent::v1::BlockDevice* device = out.Add();
    device->set_serial(serial);
    device->set_host_major(7);
    device->set_host_minor(3);
    return out;
  }
  std::string directory_;
  const std::vector<BlockDevice> devices_ = {{{7, 3}, {254, 0}, "holt-0", ""},
                                             {{254, 0}, {254, 16}, "holt-1", ""}};
};

TEST_F(BlockDevicesTest, AreFoundBySerial) {
  ASSERT_TRUE(base::MakeDirs(directory_ + "/loop0").ok());
  AddDisk("vda", "holt-1", "254:0");
  AddDisk("vdb", "holt-0", "254:16");
  AddDisk("vdc", "holt-00", "254:32");
  auto found = FindBlockDevices(Wanted("holt-0"), directory_);
  ASSERT_TRUE(found.ok()) << found.error().message();
  ASSERT_EQ(found->size(), 1u);
  EXPECT_EQ((*found)[0].host, (oci::DeviceNumber{7, 3}));
  EXPECT_EQ((*found)[0].guest, (oci::DeviceNumber{254, 16}));
}

TEST_F(BlockDevicesTest, OneThatCameLaterHasASizeBeforeItIsUsed) {
  AddDisk("vda", "holt-0", "254:0");
  const std::string size = directory_ + "/vda/size";
  ASSERT_TRUE(base::WriteFile(size, "0\n").ok());
  auto wanted = Wanted("holt-0");
  wanted.at(0).set_added(true);
  const auto began = std::chrono::steady_clock::now();
  std::thread driver([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    EXPECT_TRUE(base::WriteFileAtomic(size, "16\n").ok());
  });
  auto found = FindBlockDevices(wanted, directory_);
  driver.join();
  ASSERT_TRUE(found.ok()) << found.error().message();
  EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(100));
  EXPECT_EQ((*found)[0].added_name, "vda");
}

TEST_F(BlockDevicesTest, NodesGetTheGuestsNumbersOnce) {
  std::vector<oci::Device> nodes = {
      {"/dev/a", "b", 7, 3}, {"/dev/b", "c", 7, 3}, {"/dev/c", "b", 254, 0}, {"/dev/d", "b", 7, 4}};
  UseGuestNumbers(devices_, nodes);
  EXPECT_EQ(nodes[0].major, 254);
  EXPECT_EQ(nodes[0].minor, 0);
  EXPECT_EQ(nodes[1].major, 7) << "another type";
  EXPECT_EQ(nodes[2].minor, 16) << "the host's, which is another here";
  EXPECT_EQ(nodes[3].minor, 4);
}

TEST_F(BlockDevicesTest, RulesAllowByTheGuestsNumberWhatTheyAllowedByTheHosts) {
  std::vector<oci::DeviceRule> rules = {{.allow = false},
                                        {.allow = true, .type = "b", .major = 7, .access = "r"},
                                        oci::BlockDeviceRule(true, {254, 0}, "rwm"),
                                        oci::BlockDeviceRule(true, {7, 3}, "w")};
  UseGuestNumbers(devices_, rules);
  EXPECT_EQ(oci::AllowedAccess(rules, {254, 0}), "rw") << "7:3, of a wildcard and its own";
  EXPECT_EQ(oci::AllowedAccess(rules, {254, 16}), "rwm") << "254:0";
  EXPECT_EQ(oci::AllowedAccess(rules, {7, 3}), "r") << "what the guest has by that number";
  EXPECT_EQ(oci::AllowedAccess(rules, {254, 32}), "");
}

TEST_F(BlockDevicesTest, AWildcardForTheGuestsMajorGivesNoMore) {
  std::vector<oci::DeviceRule> rules = {oci::BlockDeviceRule(true, {7, 3}, "r"),
                                        {.allow = true, .type = "b", .major = 254}};
  UseGuestNumbers({devices_[0]}, rules);
  EXPECT_EQ(oci::AllowedAccess(rules, {254, 0}), "r");
}

TEST_F(BlockDevicesTest, StatisticsGoTheOtherWay) {
  EXPECT_EQ(HostNumber(devices_, {254, 16}), (oci::DeviceNumber{254, 0}));
  EXPECT_EQ(HostNumber(devices_, {1, 1}), (oci::DeviceNumber{1, 1}));
}

}  // namespace
}  // namespace holt::guest_agent
