// Block devices of the host in a container: loop devices on files of the test's.

#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "base/file.h"
#include "tests/e2e/bundle_fixture.h"
#include "tests/e2e/loop_device.h"

namespace holt {
namespace {

using testing::HasSubstr;

class BlockDeviceTest : public BundleTest {
 protected:
  // A device, and the rule beside the usual one.
  std::string ConfigWith(unsigned major, unsigned minor, const std::string& rule,
                         const std::string& script) {
    const std::string number =
        "\"major\":" + std::to_string(major) + ",\"minor\":" + std::to_string(minor);
    return Config(R"(["/bin/sh","-c",")" + script + "\"]", "", "",
                  R"(,"devices":[{"path":"/dev/data","type":"b",)" + number +
                      R"(}],"resources":{"devices":[{"allow":false},{)" + rule +
                      (rule.find("\"b\"") == std::string::npos ? "" : "," + number) + "}]}");
  }
  pid_t ProcessOf(const std::string& name) const {
    std::unique_ptr<DIR, int (*)(DIR*)> proc(opendir("/proc"), closedir);
    const std::string monitors = Shell("pgrep -f '[h]olt-monitor.*" + root_ + "' | head -1");
    while (const dirent* entry = readdir(proc.get())) {
      const std::string pid = entry->d_name;
      auto status = base::ReadFile("/proc/" + pid + "/status", 1 << 16);
      if (status && status->find("Name:\t" + name) == 0 &&
          status->find("\nPPid:\t" + monitors + "\n") != std::string::npos)
        return std::stoi(pid);
    }
    return 0;
  }
};

TEST_F(BlockDeviceTest, WhatAContainerWritesIsThereAtItsEndSyncedOrNot) {
  const LoopDevice loop(Scratch("disk"));
  loop.Write("of the host", 512);
  loop.Write(std::string(8192, 'x'), 1 << 20);
  Finished run = Run({"--rm", "--device", loop.path() + ":/dev/data", "demo", "sh", "-c",
                      "dd if=/dev/data bs=512 skip=1 count=1 2>/dev/null | head -c 11; echo; "
                      "blockdev --getsize64 --getro /dev/data; "
                      "blkdiscard -z -o 1048576 -l 4096 /dev/data; "
                      "printf 'of the guest' | dd of=/dev/data bs=1M seek=9 conv=notrunc "
                      "2>/dev/null"});
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_EQ(run.out, "of the host\n33554432\n0\n");
  EXPECT_EQ(loop.Read(12, 9 << 20), "of the guest");
  EXPECT_EQ(loop.Read(8192, 1 << 20), std::string(4096, '\0') + std::string(4096, 'x'));
  EXPECT_TRUE(loop.IsFree());
}

TEST_F(BlockDeviceTest, AFileSystemOfTheHostIsMountedInside) {
  const LoopDevice loop(Scratch("disk"));
  Shell("mkfs.ext4 -q " + loop.path());
  // With several processors there are several queues.
  Finished run = Run({"--rm", "--cpus", "2", "--cap-add", "SYS_ADMIN", "--device", loop.path(),
                      "demo", "sh", "-ec",
                      "mkdir /disk; mount " + loop.path() +
                          " /disk; fstrim /disk; head -c 8000000 /dev/urandom > /disk/random; "
                          "md5sum < /disk/random; echo kept > /disk/file"});
  ASSERT_EQ(run.status, 0) << run.err;
  const std::string mounted = Scratch("mounted");
  EXPECT_EQ(Shell("mkdir " + mounted + "; mount " + loop.path() + " " + mounted + "; md5sum < " +
                  mounted + "/random; cat " + mounted + "/file; umount " + mounted) +
                "\n",
            run.out + "kept\n");
  Shell("e2fsck -fn " + loop.path());
}

TEST_F(BlockDeviceTest, ReadOnlyIsReadOnlyAndCanBeShared) {
  const LoopDevice loop(Scratch("disk"));
  loop.Write("shared", 0);
  const std::string script =
      "head -c 6 /dev/data; blockdev --getro /dev/data; "
      "(echo x > /dev/data) 2>/dev/null || echo refused; "
      // The disk itself, whatever the node and the rules are like.
      "cat /sys/class/block/vda/ro";
  const std::string other =
      RunDetached({"--device", loop.path() + ":/dev/data:r", "demo", "sleep", "1000"});
  Finished run =
      Run({"--rm", "--device", loop.path() + ":/dev/data:r", "demo", "sh", "-c", script});
  EXPECT_EQ(run.out, "shared1\nrefused\n1\n") << run.err;
  EXPECT_EQ(loop.Read(6, 0), "shared");
  EXPECT_EQ(Holt({"rm", "-f", other}).status, 0);
}

TEST_F(BlockDeviceTest, AWritableOneHasOneUser) {
  const LoopDevice loop(Scratch("disk")), second(Scratch("disk2"));
  second.Write("second", 0);
  {
    base::UniqueFd host(open(loop.path().c_str(), O_RDWR | O_EXCL | O_CLOEXEC));
    Finished run = Run({"--rm", "--device", loop.path(), "demo", "true"});
    EXPECT_EQ(run.status, 125);
    EXPECT_THAT(ErrorOf(run),
                HasSubstr("linux.devices[0]: " + loop.path() + ": " + loop.path() + " is in use"));
  }
  const std::string id = RunDetached({"--device", loop.path() + ":/dev/one", "--device",
                                      second.path() + ":/dev/two", "demo", "sleep", "1000"});
  EXPECT_THAT(ErrorOf(Run({"--rm", "--device", second.path(), "demo", "true"})),
              HasSubstr(second.path() + " is in use"));
  EXPECT_EQ(Holt({"exec", id, "head", "-c", "6", "/dev/two"}).out, "second");
  // One that was written to and killed has what was written.
  EXPECT_EQ(Holt({"exec", id, "sh", "-c", "printf first > /dev/one"}).status, 0);
  EXPECT_EQ(Holt({"kill", id, "KILL"}).status, 0);
  EXPECT_EQ(Holt({"wait", id}).out, "137\n");
  EXPECT_TRUE(Eventually([&] { return loop.IsFree(); }));
  EXPECT_EQ(loop.Read(5, 0), "first");
  EXPECT_EQ(Holt({"rm", id}).status, 0);
}

TEST_F(BlockDeviceTest, OfAMachineThatIsKilledTheFlushedIsThereAndTheDeviceIsFree) {
  const LoopDevice loop(Scratch("disk"));
  const std::string id =
      RunDetached({"--device", loop.path() + ":/dev/data", "demo", "sh", "-c",
                   "printf flushed | dd of=/dev/data conv=notrunc,fsync 2>/dev/null; echo done; "
                   "sleep 1000"});
  EXPECT_TRUE(Eventually([&] { return Holt({"logs", id}).out == "done\n"; }));
  const pid_t vmm = ProcessOf("holt-vmm");
  ASSERT_GT(vmm, 0);
  ASSERT_EQ(kill(vmm, SIGKILL), 0);
  EXPECT_EQ(Holt({"wait", id}).out, "125\n");
  EXPECT_TRUE(Eventually([&] { return loop.IsFree(); }));
  EXPECT_EQ(loop.Read(7, 0), "flushed");
  EXPECT_EQ(Holt({"rm", id}).status, 0);
}

TEST_F(BlockDeviceTest, WhatTheHostHasNotIsNamed) {
  WriteConfig(ConfigWith(4000, 77, R"("allow":true,"type":"b")", "true"));
  EXPECT_NE(Create("c").status, 0);
  EXPECT_THAT(Log(),
              HasSubstr("linux.devices[0]: /dev/data: the host has no block device 4000:77"));
  EXPECT_THAT(ErrorOf(Run({"--device", Scratch("none"), "demo", "true"})),
              HasSubstr("--device: " + Scratch("none")));
  EXPECT_THAT(ErrorOf(Run({"--device", "/dev/null", "demo", "true"})),
              HasSubstr("/dev/null: is no block device"));
}

TEST_F(BlockDeviceTest, TheHostsStayWhereTheContainerMayNotUseThemOrMayUseEverything) {
  const LoopDevice loop(Scratch("disk"));
  // Taken: opening it for the container would fail.
  base::UniqueFd host(open(loop.path().c_str(), O_RDWR | O_EXCL | O_CLOEXEC));
  const std::string script = "stat -c %t:%T /dev/data; ls /sys/class/block | grep -c ^vd";
  for (const char* rule : {R"("allow":false,"type":"b")", R"("allow":true)"}) {
    WriteConfig(ConfigWith(7, loop.minor(), rule, script));
    Finished run =
        Program::Start(Command({"run", "--bundle", bundle_, "c"}), Environment())->Finish();
    std::array<char, 8> minor{};
    snprintf(minor.data(), minor.size(), "%x", loop.minor());
    EXPECT_EQ(run.out, "7:" + std::string(minor.data()) + "\n0\n") << rule << run.err;
  }
}

TEST_F(BlockDeviceTest, AnEnginesRulesAreTheGuestsAndItsCountersTheHosts) {
  const LoopDevice loop(Scratch("disk"));
  Launch("c",
         ConfigWith(7, loop.minor(), R"("allow":true,"type":"b","access":"rw")", "sleep 1000"));
  EXPECT_EQ(Holt({"exec", "c", "sh", "-c",
                  "dd if=/dev/zero of=/dev/data bs=1M count=2 conv=fsync 2>&1 | grep -c copied"})
                .out,
            "1\n");
  // As in runc's format, a zero is left out.
  const std::string minor =
      loop.minor() == 0 ? "" : "\"minor\":" + std::to_string(loop.minor()) + ",";
  EXPECT_THAT(Holt({"events", "--stats", "c"}).out,
              HasSubstr("\"major\":7," + minor + "\"op\":\"Write\",\"value\":2097152"));
  EXPECT_EQ(Holt({"delete", "--force", "c"}).status, 0);
}

}  // namespace
}  // namespace holt
