// The sandbox's cgroup as a scope of systemd's: who is in it, that systemd knows its limits, and
// that the unit goes.

#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include "tests/e2e/cgroup_fixture.h"
#include "tests/e2e/systemd_host.h"

namespace holt {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr char kUnit[] = "holttest-c1.scope";
constexpr char kPlace[] = "/holt.slice/holt-test.slice/holttest-c1.scope";

class SystemdCgroupTest : public CgroupTest {
 protected:
  void SetUp() override {
    if (!HostHasSystemd()) GTEST_SKIP() << "this host has no systemd with pure cgroup v2";
    BundleTest::SetUp();
  }
  void TearDown() override {
    if (!HostHasSystemd()) return;
    BundleTest::TearDown();
    EXPECT_EQ(Units(), "");
  }

  static void TearDownTestSuite() {
    // Slices are systemd's own to keep.
    if (HostHasSystemd()) Systemctl({"stop", "holt.slice"});
    BundleTest::TearDownTestSuite();
  }

  static std::string Show(const std::string& property, const std::string& unit = kUnit) {
    return ShowUnit(unit, property);
  }
  // Those of this test.
  static std::string Units() { return ListUnits({"holttest-*.scope", "holt-*.scope"}); }
  static std::string Path(const std::string& name = "holt-test.slice:holttest:c1") {
    return R"(,"cgroupsPath":")" + name + "\"";
  }
  static std::string Annotated(const std::string& name, const std::string& value) {
    return BundleTest::Config(
        R"(["true"])", "",
        R"(,"annotations":{"org.systemd.property.)" + name + R"(":")" + value + R"("})", Path());
  }
  Finished CreateInScope(const std::string& config) {
    WriteConfig(config);
    return Create("c1", {}, {"--systemd-cgroup"});
  }
  void LaunchInScope(const std::string& config) {
    Finished created = CreateInScope(config);
    ASSERT_EQ(created.status, 0) << created.err;
    ASSERT_EQ(Holt({"start", "c1"}).status, 0);
  }
  // Nothing is left of a create that failed, and what it said has `text`.
  void ExpectRefused(const std::string& config, const std::string& text) {
    EXPECT_EQ(CreateInScope(config).status, 1) << config;
    EXPECT_THAT(Log(), HasSubstr(text)) << config;
    EXPECT_TRUE(Leftovers().empty()) << config;
    EXPECT_EQ(Units(), "") << config;
  }
};

TEST_F(SystemdCgroupTest, EverythingOfASandboxIsInItAndSystemdKnowsItsLimits) {
  Finished created =
      CreateInScope(Config(R"(["sh","-c","cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max"])",
                           Path() + Resources(R"({"memory":{"limit":67108864,"swap":67108864,
                 "reservation":33554432},"pids":{"limit":50},
                 "cpu":{"quota":50000,"period":100000,"shares":512,"cpus":"0","burst":20000}})")));
  ASSERT_EQ(created.status, 0) << created.err;
  EXPECT_EQ(Log(), "");
  EXPECT_EQ(Read("/proc/" + PidFile() + "/cgroup"), std::string("0::") + kPlace);
  ExpectEverythingIn(kPlace, "c1");

  EXPECT_EQ(Show("ActiveState"), "active");
  EXPECT_EQ(Show("Slice"), "holt-test.slice");
  EXPECT_EQ(Show("ControlGroup"), kPlace);
  EXPECT_EQ(Show("Description"), "holt container c1");
  EXPECT_EQ(Show("Delegate"), "yes");
  const std::string memory = std::to_string((162ull + 256) << 20);
  EXPECT_EQ(Show("MemoryMax"), memory);
  EXPECT_EQ(Show("MemorySwapMax"), "0");
  EXPECT_EQ(Show("TasksMax"), std::to_string(50 + 128));
  EXPECT_EQ(Show("CPUWeight"), "59");
  EXPECT_EQ(Show("CPUQuotaPerSecUSec"), "500ms");
  EXPECT_EQ(Show("AllowedCPUs"), "0");
  auto expect_files = [&](const std::string& when) {
    const std::string cgroup = std::string(kRoot) + kPlace;
    EXPECT_EQ(Read(cgroup + "/memory.max"), memory) << when;
    EXPECT_EQ(Read(cgroup + "/memory.low"), std::to_string((32ull + 256) << 20)) << when;
    EXPECT_EQ(Read(cgroup + "/pids.max"), "178") << when;
    EXPECT_EQ(Read(cgroup + "/cpu.max"), "50000 100000") << when;
    EXPECT_EQ(Read(cgroup + "/cpu.weight"), "59") << when;
    EXPECT_EQ(Read(cgroup + "/cpuset.cpus"), "0") << when;
    EXPECT_EQ(Read(cgroup + "/cpu.max.burst"), "20000") << when << ", which systemd does not know";
  };
  expect_files("created");
  Systemctl({"daemon-reload"});
  // It writes all that it knows of a controller when one thing changes.
  Systemctl({"set-property", "--runtime", kUnit, "MemoryHigh=1G", "IOWeight=50"});
  expect_files("reloaded");

  ASSERT_EQ(Holt({"start", "c1"}).status, 0);
  ASSERT_TRUE(BecomesStopped("c1"));
  EXPECT_EQ(Output(), "67108864\n50\n") << "the container's own limits are the guest's";
  EXPECT_EQ(Holt({"delete", "c1"}).status, 0);
  EXPECT_EQ(Units(), "");
  EXPECT_FALSE(base::PathExists(std::string(kRoot) + kPlace));
}

TEST_F(SystemdCgroupTest, UpdatePauseAndExec) {
  LaunchInScope(Config(R"(["sleep","1000"])", Path() + Resources(R"({"pids":{"limit":20},
                           "cpu":{"quota":50000,"period":100000}})")));
  Finished update = Holt({"update", "--pids-limit", "30", "--cpu-quota", "20000", "--cpuset-cpus",
                          "0", "--cpu-share", "2048", "c1"});
  ASSERT_EQ(update.status, 0) << update.err;
  EXPECT_EQ(Show("TasksMax"), "158");
  EXPECT_EQ(Show("CPUQuotaPerSecUSec"), "200ms");
  EXPECT_EQ(Show("AllowedCPUs"), "0");
  Systemctl({"daemon-reload"});
  Systemctl({"set-property", "--runtime", kUnit, "IOWeight=50"});
  const std::string cgroup = std::string(kRoot) + kPlace;
  EXPECT_EQ(Read(cgroup + "/pids.max"), "158");
  EXPECT_EQ(Read(cgroup + "/cpu.max"), "20000 100000");
  EXPECT_EQ(Read(cgroup + "/cpu.weight"), "174");
  // What the kernel refuses systemd is not told.
  Finished refused = Holt({"update", "--cpuset-cpus", "7777", "c1"});
  EXPECT_THAT(ErrorOf(refused), HasSubstr("linux.resources.cpu.cpus"));
  EXPECT_EQ(Show("AllowedCPUs"), "0");
  // No limit is none there, too.
  ASSERT_EQ(Holt({"update", "--cpu-quota=-1", "--pids-limit=-1", "c1"}).status, 0);
  EXPECT_EQ(Show("CPUQuotaPerSecUSec"), "infinity");
  EXPECT_EQ(Show("TasksMax"), "infinity");

  EXPECT_EQ(Holt({"pause", "c1"}).status, 0);
  EXPECT_EQ(StatusOf("c1"), "paused");
  EXPECT_EQ(Holt({"resume", "c1"}).status, 0);
  ExecDetached("c1", R"(["sleep","1000"])");
  EXPECT_EQ(Read("/proc/" + Read(Scratch("exec-pid")) + "/cgroup"), std::string("0::") + kPlace);
  EXPECT_EQ(Holt({"delete", "--force", "c1"}).status, 0);
  EXPECT_EQ(Units(), "");
}

TEST_F(SystemdCgroupTest, WhateverIsKilledNoUnitStays) {
  for (const char* victim : {"holt-monitor", "holt-vmm"}) {
    LaunchInScope(Config(R"(["sleep","1000"])", Path()));
    pid_t pid = ProcessIn(std::string(kRoot) + kPlace, victim);
    ASSERT_NE(pid, 0) << victim;
    kill(pid, SIGKILL);
    EXPECT_TRUE(BecomesStopped("c1")) << victim;
    EXPECT_EQ(Holt({"delete", "--force", "c1"}).status, 0) << victim;
    EXPECT_EQ(Units(), "") << victim;
  }
  // And something that nobody wrote down.
  LaunchInScope(Config(R"(["sleep","1000"])", Path()));
  auto forgotten = Program::Start(
      {"/bin/sh", "-c",
       "echo 0 >" + std::string(kRoot) + kPlace + "/cgroup.procs && echo in && exec sleep 1000"},
      {});
  ASSERT_TRUE(forgotten->WaitFor("in"));
  kill(MonitorIn(std::string(kRoot) + kPlace), SIGKILL);
  ASSERT_TRUE(BecomesStopped("c1"));
  EXPECT_EQ(Holt({"delete", "--force", "c1"}).status, 0);
  EXPECT_EQ(forgotten->Finish().status, 128 + SIGKILL);
}

TEST_F(SystemdCgroupTest, RunHasOneInTheSystemsSlice) {
  auto argv = RunCommand({"-d", "--rm", "demo", "sleep", "1000"});
  argv.insert(argv.begin() + 1, {"--cgroup-manager", "systemd"});
  Finished run = Program::Start(argv, {})->Finish();
  ASSERT_EQ(run.status, 0) << run.err;
  std::string id = run.out.substr(0, run.out.find('\n'));
  EXPECT_EQ(Show("ControlGroup", "holt-" + id + ".scope"), "/system.slice/holt-" + id + ".scope");
  EXPECT_EQ(Show("CollectMode", "holt-" + id + ".scope"), "inactive-or-failed");
  EXPECT_EQ(Holt({"stop", "-t", "0", id}).status, 0);
  EXPECT_TRUE(Eventually([] { return Units().empty(); }));
}

TEST_F(SystemdCgroupTest, AnnotationsAreProperties) {
  ASSERT_EQ(
      CreateInScope(BundleTest::Config(R"(["true"])", "",
                                       R"(,"annotations":{"org.systemd.property.TimeoutStopSec":"7",
                                  "org.systemd.property.Description":"'a \"den\"'",
                                  "org.systemd.property.MemoryMax":"uint64 1",
                                  "org.systemd.property.Before":"['shutdown.target']"})",
                                       Path() + Resources(R"({"memory":{"limit":67108864}})")))
          .status,
      0)
      << Log();
  EXPECT_EQ(Show("TimeoutStopUSec"), "7s");
  EXPECT_EQ(Show("Description"), "a \"den\"");
  EXPECT_THAT(Show("Before"), HasSubstr("shutdown.target"));
  EXPECT_EQ(Show("MemoryMax"), std::to_string((162ull + 256) << 20)) << "the limit wins";
  EXPECT_EQ(Holt({"delete", "c1"}).status, 0);

  ExpectRefused(Annotated("MemoryMax", "lots"),
                R"(annotations[\"org.systemd.property.MemoryMax\"]: at character 1)");
  ExpectRefused(Annotated("Slice", "'a.slice'"), "holt sets it itself");
  // What only systemd can know: its own words.
  ExpectRefused(Annotated("NoSuchThing", "5"), "systemd: start holttest-c1.scope: ");
  ExpectRefused(Annotated("MemoryMax", "'5'"), "systemd: start holttest-c1.scope: ");
}

TEST_F(SystemdCgroupTest, BadPathsAndLimitsAreErrorsThatNameThem) {
  auto path = [](const std::string& text) { return Config(R"(["true"])", Path(text)); };
  ExpectRefused(path("/a/b"),
                "linux.cgroupsPath: \\\"/a/b\\\" is not of the form slice:prefix:name");
  ExpectRefused(path("a:b:c"), "linux.cgroupsPath: \\\"a\\\" is no name of a slice");
  ExpectRefused(path("a.slice:b:../c"), "no name of a scope");
  auto limits = [](const std::string& json) {
    return Config(R"(["true"])", Path() + Resources(json));
  };
  ExpectRefused(limits(R"({"cpu":{"cpus":"7777"}})"), "linux.resources.cpu.cpus");
  ExpectRefused(limits(R"({"cpu":{"quota":5}})"), "linux.resources.cpu.quota");
  ExpectRefused(limits(R"({"unified":{"nothing.max":"1"}})"), "has no nothing controller");
}

TEST_F(SystemdCgroupTest, ANameThatIsTakenIsAnErrorAndAFailedOneIsNot) {
  auto sleeper = Program::Start({"/usr/bin/systemd-run", "--quiet", "--scope", "--unit=holttest-c1",
                                 "--slice=holt-test.slice", "sh", "-c", "echo in; exec sleep 1000"},
                                {});
  ASSERT_TRUE(sleeper->WaitFor("in"));
  const std::string config = Config(R"(["true"])", Path());
  EXPECT_EQ(CreateInScope(config).status, 1);
  EXPECT_THAT(Log(), AllOf(HasSubstr("systemd: start holttest-c1.scope: "), HasSubstr("already")));
  EXPECT_TRUE(Leftovers().empty());
  EXPECT_EQ(Show("ActiveState"), "active") << "somebody else's was ended";
  sleeper->Signal(SIGKILL);
  sleeper->Finish();
  ASSERT_TRUE(Eventually([] { return Units().find(kUnit) == std::string::npos; }));

  // One that ran out of time stays until somebody has looked.
  auto slow = Program::Start({"/usr/bin/systemd-run", "--quiet", "--scope", "--unit=holttest-c1",
                              "-p", "RuntimeMaxSec=1", "sleep", "1000"},
                             {});
  slow->Finish();
  ASSERT_TRUE(Eventually([] { return Show("ActiveState") == "failed"; }));
  EXPECT_EQ(CreateInScope(config).status, 0) << Log();
  EXPECT_EQ(Holt({"delete", "c1"}).status, 0);
}

TEST_F(SystemdCgroupTest, WithoutSystemdOrABusItIsAnErrorThatSaysSo) {
  WriteConfig(Config(R"(["true"])", Path()));
  // In a mount namespace where something else is mounted over /run/systemd.
  auto create = [&](const std::string& prepare) {
    unlink(Scratch("log").c_str());
    std::vector<std::string> shell = {
        "/usr/bin/unshare",
        "-m",
        "/bin/sh",
        "-c",
        prepare + " && exec \"$@\" >" + Scratch("out") + " 2>&1 </dev/null",
        "-"};
    for (const std::string& word :
         Command({"--systemd-cgroup", "--log", Scratch("log"), "--log-format", "json", "create",
                  "--bundle", bundle_, "--pid-file", Scratch("pid"), "c1"}))
      shell.push_back(word);
    return Program::Start(shell, Environment())->Finish().status;
  };
  EXPECT_EQ(create("mount -t tmpfs t /run/systemd"), 1);
  EXPECT_THAT(Log(), HasSubstr("--cgroup-manager systemd (--systemd-cgroup): systemd does not run "
                               "this host"));
  EXPECT_EQ(create("mount -t tmpfs t /run/dbus && mount -t tmpfs t /run/systemd && "
                   "mkdir /run/systemd/system"),
            1);
  EXPECT_THAT(Log(), HasSubstr("systemd: start holttest-c1.scope: cannot be reached over D-Bus"));
  EXPECT_TRUE(Leftovers().empty());
  EXPECT_EQ(Units(), "");
  EXPECT_EQ(create("mount -t tmpfs t /run/dbus"), 0)
      << "systemd's own socket does where there is no daemon: " << Log();
  EXPECT_EQ(Holt({"delete", "c1"}).status, 0);
}

// Units of Type=notify, started by `holt run --bundle`.
class SystemdNotifyTest : public SystemdCgroupTest {
 protected:
  static constexpr char kService[] = "holt-notify-test.service";
  static constexpr char kUnitFile[] = "/run/systemd/system/holt-notify-test.service";
  void SetUp() override {
    SystemdCgroupTest::SetUp();
    if (!HostHasSystemd()) return;
    ASSERT_TRUE(
        base::WriteFile(
            bundle_ + "/rootfs/probe",
            base::ReadFile(BuildDirectory() + "/tests/e2e/volume_probe", 64 << 20).value_or(""),
            0755)
            .ok());
    WriteConfig(BundleTest::Config(
        R"(["sh","-c","sleep 1; /probe notify STATUS=well READY=1 barrier; exec sleep 1000"])"));
  }
  void TearDown() override {
    if (!HostHasSystemd()) return;
    Systemctl({"stop", kService});
    unlink(kUnitFile);
    Systemctl({"daemon-reload"});
    SystemdCgroupTest::TearDown();
  }
  // Starts the service; `systemctl start` returns when it is ready.
  Finished StartService(const std::string& flags) {
    std::string command;
    for (const std::string& word : Command({"run", "--accel", Accel(), "--bundle", bundle_}))
      command += word + " ";
    EXPECT_TRUE(base::WriteFile(kUnitFile,
                                "[Service]\nType=notify\nNotifyAccess=all\n"
                                "TimeoutStartSec=90\nExecStart=" +
                                    command + flags + " c1\n")
                    .ok());
    Systemctl({"daemon-reload"});
    return Program::Start({"/bin/systemctl", "start", kService}, {})->Finish();
  }
};

TEST_F(SystemdNotifyTest, AServiceIsActiveWhenItsContainerSaysSo) {
  Finished start = StartService("");
  EXPECT_EQ(start.status, 0) << start.err << Systemctl({"status", kService});
  EXPECT_EQ(Show("ActiveState", kService), "active");
  EXPECT_EQ(Show("StatusText", kService), "well");
  EXPECT_THAT(Read("/proc/" + Show("MainPID", kService) + "/cmdline"), HasSubstr("run"));
  Systemctl({"stop", kService});
  EXPECT_TRUE(Eventually([&] { return Leftovers().empty(); }));

  // It leaves, and the container's pid is the service's.
  start = StartService("-d --pid-file " + Scratch("pid"));
  EXPECT_EQ(start.status, 0) << start.err << Systemctl({"status", kService});
  EXPECT_EQ(Show("ActiveState", kService), "active");
  EXPECT_EQ(Show("MainPID", kService), PidFile());
  EXPECT_EQ(Holt({"exec", "c1", "/probe", "notify", "STATUS=better"}).status, 0);
  EXPECT_TRUE(Eventually([&] { return Show("StatusText", kService) == "better"; }));
  EXPECT_EQ(Holt({"kill", "c1", "9"}).status, 0);
  EXPECT_TRUE(Eventually([&] { return Show("ActiveState", kService) == "failed"; }));
  EXPECT_EQ(Show("ExecMainStatus", kService), "137");
  EXPECT_EQ(Holt({"delete", "--force", "c1"}).status, 0);
}

}  // namespace
}  // namespace holt
