// Block devices of the host that come to a running machine and go: the monitor's code, holt-vmm,
// the agent, and containers that use them. Loop devices on files of the test's.

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/socket.h>

#include <filesystem>

#include "base/file.h"
#include "tests/e2e/eventually.h"
#include "tests/e2e/loop_device.h"
#include "tests/e2e/monitored_vm.h"

namespace holt {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class BlockHotplugTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/holt-hotplug-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override {
    vm_.reset();
    std::filesystem::remove_all(dir_);
  }
  void Boot(size_t spare_disks, uint32_t vcpus = 1) {
    vm_ = std::make_unique<MonitoredVm>(spare_disks, vcpus);
  }
  std::string Scratch(const std::string& name) const { return dir_ + "/" + name; }

  // A container's configuration with the device as /dev/data.
  static oci::Config ConfigFor(const LoopDevice& loop, const std::string& script,
                               const std::string& access = "rwm") {
    oci::Config config = ContainerConfig({"sh", "-c", script});
    config.linux_->devices.push_back({"/dev/data", "b", 7, loop.minor(), {}, {}, {}});
    config.linux_->resources.emplace().devices = {
        {.allow = false}, oci::BlockDeviceRule(true, {7, loop.minor()}, access)};
    return config;
  }
  // What the monitor of a running machine does for a container of `config`: its devices are disks.
  std::vector<agent::v1::BlockDevice> Plug(const oci::Config& config) {
    auto devices = shim::OpenBlockDevices(config, next_id_);
    EXPECT_TRUE(devices.ok()) << devices.error().message();
    std::vector<agent::v1::BlockDevice> out;
    if (!devices) return out;
    next_id_ += devices->size();
    for (const shim::BlockDevice& device : *devices) {
      auto added = vm_->AddDisk(device);
      EXPECT_TRUE(added.ok()) << added.error().message();
      out.push_back(shim::ForAgent(device, true));
    }
    return out;
  }
  AgentVm::Process Launch(const std::string& id, const oci::Config& config,
                          const std::vector<agent::v1::BlockDevice>& disks) {
    auto process = vm_->Create(id, config, disks);
    EXPECT_TRUE(process.ok()) << process.error().message() << vm_->Console();
    if (!process) return {};
    EXPECT_TRUE(vm_->Start(id).ok());
    return std::move(*process);
  }
  void Unplug(const std::vector<agent::v1::BlockDevice>& disks) {
    for (const auto& disk : disks) {
      auto removed = vm_->RemoveDisk(disk.serial());
      EXPECT_TRUE(removed.ok()) << removed.error().message();
    }
  }
  // A container of a running machine with a device, from beginning to end.
  AgentVm::Outcome RunWith(const LoopDevice& loop, const std::string& script,
                           const std::string& access = "rwm") {
    const oci::Config config = ConfigFor(loop, script, access);
    const auto disks = Plug(config);
    const std::string id = "c" + std::to_string(next_id_);
    auto process = Launch(id, config, disks);
    EXPECT_TRUE(access == "r" || !loop.IsFree()) << "it is the machine's";
    auto outcome = vm_->Finish(std::move(process));
    auto deleted = vm_->Delete(id);
    EXPECT_TRUE(deleted.ok()) << deleted.error().message();
    Unplug(disks);
    EXPECT_TRUE(loop.IsFree()) << "and is not any more";
    return outcome;
  }

  std::string dir_;
  std::unique_ptr<MonitoredVm> vm_;
  size_t next_id_ = 0;
};

TEST_F(BlockHotplugTest, DisksComeAndGoWithContainers) {
  ASSERT_NO_FATAL_FAILURE(Boot(1));
  const LoopDevice one(Scratch("one")), two(Scratch("two"));
  one.Write("of the host", 512);
  one.Write(std::string(8192, 'x'), 1 << 20);
  two.Write("another", 0);
  auto outcome = RunWith(
      one,
      "dd if=/dev/data bs=512 skip=1 count=1 2>/dev/null | head -c 11; echo; "
      "blockdev --getsize64 --getro /dev/data; "
      "blkdiscard -z -o 1048576 -l 4096 /dev/data; blkdiscard -o 2097152 -l 4096 /dev/data; "
      "printf 'of the guest' | dd of=/dev/data bs=1M seek=9 conv=notrunc 2>/dev/null");
  EXPECT_EQ(outcome.out, "of the host\n33554432\n0\n") << outcome.err << vm_->Console();
  EXPECT_EQ(one.Read(12, 9 << 20), "of the guest");
  EXPECT_EQ(one.Read(8192, 1 << 20), std::string(4096, '\0') + std::string(4096, 'x'));
  // In the same place, and nothing of the first is left there.
  const std::string read_only =
      "head -c 7 /dev/data; blockdev --getro /dev/data; "
      "(echo x > /dev/data) 2>/dev/null || echo refused";
  outcome = RunWith(two, read_only, "r");
  EXPECT_EQ(outcome.out, "another1\nrefused\n") << outcome.err;
  EXPECT_EQ(two.Read(7, 0), "another");
  // What was read-only there is not for the next one.
  outcome = RunWith(two, "blockdev --getro /dev/data; printf written > /dev/data; sync");
  EXPECT_EQ(outcome.out, "0\n") << outcome.err;
  EXPECT_EQ(two.Read(7, 0), "written");
  vm_->ShutDown();
}

TEST_F(BlockHotplugTest, AFileSystemIsWholeAtTheEndWithSeveralQueues) {
  ASSERT_NO_FATAL_FAILURE(Boot(2, 2));
  const LoopDevice loop(Scratch("disk")), other(Scratch("other"));
  Shell("mkfs.ext4 -q " + loop.path());
  oci::Config config =
      ConfigFor(loop,
                "mkdir -p /tmp/disk; mount /dev/data /tmp/disk && head -c 4000000 /dev/urandom > "
                "/tmp/disk/random; md5sum < /tmp/disk/random");
  for (auto* set :
       {&config.process->capabilities->bounding, &config.process->capabilities->permitted,
        &config.process->capabilities->effective})
    set->push_back("CAP_SYS_ADMIN");
  const auto disks = Plug(config);
  const auto beside = Plug(ConfigFor(other, ""));
  EXPECT_THAT(
      vm_->AddDisk({{7, 0}, "holt-77", true, *base::Open(loop.path(), O_RDONLY)}).error().message(),
      AllOf(HasSubstr("no place for another disk: 2"), HasSubstr("holt.spare-disks")));
  auto outcome = vm_->Finish(Launch("fs", config, disks));
  EXPECT_TRUE(vm_->Delete("fs").ok());
  Unplug(disks);
  EXPECT_TRUE(loop.IsFree());
  Shell("e2fsck -fn " + loop.path());
  const std::string mounted = Scratch("mounted");
  EXPECT_EQ(Shell("mkdir " + mounted + "; mount " + loop.path() + " " + mounted + "; md5sum < " +
                  mounted + "/random; umount " + mounted) +
                "\n",
            outcome.out)
      << outcome.err;
  Unplug(beside);
  vm_->ShutDown();
}

TEST_F(BlockHotplugTest, ADiskThatIsTakenAwayInUseIsFreeAndTheGuestLives) {
  ASSERT_NO_FATAL_FAILURE(Boot(1));
  const LoopDevice loop(Scratch("disk")), next(Scratch("next"));
  const oci::Config config =
      ConfigFor(loop,
                "echo up; while dd if=/dev/zero of=/dev/data bs=1M count=16 conv=fsync,notrunc "
                "2>/dev/null; do :; done; echo ended");
  const auto disks = Plug(config);
  auto process = Launch("busy", config, disks);
  EXPECT_EQ(ReadStream(process.out.get(), "up\n"), "up\n");
  usleep(200000);
  // Nobody asked the guest.
  Unplug(disks);
  EXPECT_TRUE(loop.IsFree());
  loop.Write("kept", 0);
  EXPECT_EQ(vm_->Finish(std::move(process)).out, "ended\n");
  EXPECT_EQ(loop.Read(4, 0), "kept") << "the guest does not reach it any more";
  EXPECT_TRUE(vm_->Delete("busy").ok());
  next.Write("another", 0);
  EXPECT_EQ(RunWith(next, "head -c 7 /dev/data").out, "another");
  EXPECT_EQ(loop.Read(4, 0), "kept");
  EXPECT_EQ(vm_->RemoveDisk(disks[0].serial()).error().code(), base::Code::kNotFound);
  vm_->ShutDown();
}

TEST_F(BlockHotplugTest, AnotherContainerThatHadItOpenHasNothingOfTheNext) {
  ASSERT_NO_FATAL_FAILURE(Boot(1));
  const LoopDevice loop(Scratch("disk")), next(Scratch("next"));
  loop.Write("first!", 0);
  next.Write("second", 0);
  const oci::Config config = ConfigFor(loop, "stat -c '%t %T' /dev/data; read line");
  const auto disks = Plug(config);
  auto owner = Launch("owner", config, disks);
  const std::string number = ReadStream(owner.out.get(), "\n");
  // It may use every device of the guest's, and makes a node by number.
  oci::Config thief_config = ContainerConfig(
      {"sh", "-c",
       "read major minor; mknod /dev/node b $((0x$major)) $((0x$minor)); exec 3<>/dev/node; "
       "echo open; read line; dd bs=512 count=1 <&3 2>/dev/null | head -c 6; "
       "(echo spoilt >&3; sync) 2>/dev/null; echo end"});
  thief_config.linux_->resources.emplace().devices = {{.allow = true}};
  auto thief = Launch("thief", thief_config, {});
  ASSERT_TRUE(base::WriteFd(thief.in.get(), number).ok());
  ASSERT_EQ(ReadStream(thief.out.get(), "open\n"), "open\n");
  shutdown(owner.in.get(), SHUT_WR);
  vm_->Finish(std::move(owner));
  EXPECT_TRUE(vm_->Delete("owner").ok());
  Unplug(disks);
  EXPECT_TRUE(loop.IsFree());
  const oci::Config next_config = ConfigFor(next, "head -c 6 /dev/data; read line");
  const auto next_disks = Plug(next_config);
  auto user = Launch("user", next_config, next_disks);
  EXPECT_EQ(ReadStream(user.out.get(), "second"), "second");
  EXPECT_EQ(vm_->Finish(std::move(thief), "go\n").out, "end\n");
  EXPECT_EQ(next.Read(6, 0), "second");
  vm_->Finish(std::move(user));
  EXPECT_TRUE(vm_->Delete("user").ok());
  Unplug(next_disks);
  EXPECT_TRUE(vm_->Delete("thief").ok());
  vm_->ShutDown();
}

TEST_F(BlockHotplugTest, OfAMachineThatIsKilledTheDeviceIsFree) {
  ASSERT_NO_FATAL_FAILURE(Boot(1));
  const LoopDevice loop(Scratch("disk"));
  const oci::Config config =
      ConfigFor(loop,
                "printf flushed | dd of=/dev/data conv=notrunc,fsync 2>/dev/null; echo done; "
                "while :; do dd if=/dev/zero of=/dev/data bs=1M seek=1 count=16 conv=notrunc "
                "2>/dev/null; done");
  auto process = Launch("c", config, Plug(config));
  EXPECT_EQ(ReadStream(process.out.get(), "done\n"), "done\n");
  const pid_t vmm = vm_->PidOf("holt-vmm");
  ASSERT_GT(vmm, 0);
  ASSERT_EQ(kill(vmm, SIGKILL), 0);
  EXPECT_TRUE(Eventually([&] { return vm_->ended(); }));
  // With the monitor alive.
  EXPECT_TRUE(Eventually([&] { return loop.IsFree(); }));
  EXPECT_EQ(loop.Read(7, 0), "flushed");
}

TEST_F(BlockHotplugTest, EmptyPlacesHaveNothing) {
  ASSERT_NO_FATAL_FAILURE(Boot(2));
  oci::Config config =
      ContainerConfig({"sh", "-c",
                       "cat /sys/class/block/vd*/size /sys/class/block/vd*/serial; "
                       "set -- $(sed 's/:/ /' /sys/class/block/vda/dev); mknod /dev/node b $1 $2; "
                       "wc -c < /dev/node; (printf x > /dev/node; sync) 2>/dev/null; "
                       "dd if=/dev/node bs=512 count=1 2>/dev/null | wc -c"});
  config.linux_->resources.emplace().devices = {{.allow = true}};
  auto outcome = vm_->Run(config);
  ASSERT_TRUE(outcome.ok()) << outcome.error().message();
  EXPECT_EQ(outcome->out, "0\n0\n0\n0\n") << outcome->err;
  vm_->ShutDown();
}

}  // namespace
}  // namespace holt
