// The sandbox's cgroup on the host: who is in it, what it is limited to, and that it goes.

#include "shim/cgroup/host_cgroup.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "tests/e2e/cgroup_fixture.h"

namespace holt {
namespace {

using testing::AnyOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

using shim::HostCgroup;
using shim::RemoveHostCgroup;

constexpr char kParent[] = "/sys/fs/cgroup/holt-test";

class HostCgroupTest : public CgroupTest {
 protected:
  void SetUp() override {
    if (!HostHasV2()) GTEST_SKIP() << "this host has no pure cgroup v2";
    BundleTest::SetUp();
  }
  void TearDown() override {
    if (!HostHasV2()) return;
    BundleTest::TearDown();
    for (const std::string& left : Below(kParent)) {
      EXPECT_EQ(rmdir(left.c_str()), 0) << left;
    }
    rmdir(kParent);
  }
  // Cgroups below `path`, the deepest first.
  static std::vector<std::string> Below(const std::string& path) {
    std::vector<std::string> out;
    std::error_code error;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path, error))
      if (entry.is_directory()) out.insert(out.begin(), entry.path().string());
    return out;
  }
  static std::string At(const std::string& name) { return std::string(kParent) + "/" + name; }
  static std::string Place(const std::string& name) {
    return R"(,"cgroupsPath":"/holt-test/)" + name + "\"";
  }
  // A process of the test's own, in a cgroup.
  static std::unique_ptr<Program> SleeperIn(const std::string& cgroup) {
    auto sleeper = Program::Start(
        {"/bin/sh", "-c", "echo 0 >" + cgroup + "/cgroup.procs && echo in && exec sleep 1000"}, {});
    EXPECT_TRUE(sleeper->WaitFor("in"));
    return sleeper;
  }
};

TEST_F(HostCgroupTest, EverythingOfASandboxIsInItAndLimited) {
  WriteConfig(Config(R"(["sh","-c","cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max"])",
                     Place("a/b") + Resources(R"({"memory":{"limit":67108864,"swap":67108864},
                         "pids":{"limit":50},"cpu":{"quota":50000,"period":100000,"shares":512}})")));
  Finished created = Create("c1");
  ASSERT_EQ(created.status, 0) << created.err;
  EXPECT_EQ(Log(), "");
  std::string cgroup = At("a/b");
  EXPECT_EQ(Read("/proc/" + PidFile() + "/cgroup"), "0::/holt-test/a/b");
  ExpectEverythingIn("/holt-test/a/b", "c1");
  // The machine has 64 MiB, 96 and a 32nd more; 256 MiB are for the processes around it.
  EXPECT_EQ(Read(cgroup + "/memory.max"), std::to_string((162ull + 256) << 20));
  EXPECT_EQ(Read(cgroup + "/pids.max"), std::to_string(50 + 128));
  EXPECT_EQ(Read(cgroup + "/cpu.max"), "50000 100000");
  EXPECT_EQ(Read(cgroup + "/cpu.weight"), "59");
  EXPECT_THAT(Read(cgroup + "/memory.swap.max"), AnyOf("0", "(none)"));
  ASSERT_EQ(Holt({"start", "c1"}).status, 0);
  ASSERT_TRUE(BecomesStopped("c1"));
  EXPECT_EQ(Output(), "67108864\n50\n") << "the container's own limits are the guest's";
  EXPECT_EQ(Holt({"delete", "c1"}).status, 0);
  EXPECT_FALSE(base::PathExists(cgroup));
}

TEST_F(HostCgroupTest, OverheadIsConfigurable) {
  WriteConfig(Config(R"(["true"])", Place("a") + Resources(R"({"memory":{"limit":67108864}})")));
  ASSERT_EQ(Create("c1", {}, {"--machine-overhead", "300m"}).status, 0) << Log();
  EXPECT_EQ(Read(At("a/memory.max")), std::to_string((162ull + 300) << 20));
}

TEST_F(HostCgroupTest, StubsOfExecsAreInItToo) {
  WriteConfig(Config(R"(["sleep","1000"])", Place("a")));
  ASSERT_EQ(Create("c1").status, 0) << Log();
  ASSERT_EQ(Holt({"start", "c1"}).status, 0);
  ExecDetached("c1", R"(["sleep","1000"])");
  EXPECT_EQ(Read("/proc/" + Read(Scratch("exec-pid")) + "/cgroup"), "0::/holt-test/a");
  EXPECT_EQ(Holt({"delete", "--force", "c1"}).status, 0);
  EXPECT_FALSE(base::PathExists(At("a")));
}

TEST_F(HostCgroupTest, RunHasOneOfItsOwn) {
  std::string id = RunDetached({"--name", "web", "demo", "sleep", "1000"});
  std::string cgroup = std::string(kRoot) + "/holt/" + id;
  EXPECT_NE(MonitorIn(cgroup), 0);
  EXPECT_EQ(Holt({"stop", "-t", "0", "web"}).status, 0);
  for (int i = 0; i < 200 && base::PathExists(cgroup); ++i) usleep(25'000);
  EXPECT_FALSE(base::PathExists(cgroup)) << "of a container that ended nothing runs";
}

TEST_F(HostCgroupTest, AKilledMonitorLeavesNone) {
  WriteConfig(Config(R"(["sleep","1000"])", Place("a")));
  ASSERT_EQ(Create("c1").status, 0) << Log();
  ASSERT_EQ(Holt({"start", "c1"}).status, 0);
  pid_t monitor = MonitorIn(At("a"));
  ASSERT_NE(monitor, 0);
  // Something that nobody wrote down, as a child that the monitor had just started.
  auto forgotten = SleeperIn(At("a"));
  kill(monitor, SIGKILL);
  ASSERT_TRUE(BecomesStopped("c1"));
  EXPECT_TRUE(base::PathExists(At("a")));
  EXPECT_EQ(Holt({"rm", "-f", "c1"}).status, 0);
  EXPECT_FALSE(base::PathExists(At("a")));
  EXPECT_EQ(forgotten->Finish().status, 128 + SIGKILL);

  std::string id = RunDetached({"--rm", "demo", "sleep", "1000"});
  std::string cgroup = std::string(kRoot) + "/holt/" + id;
  monitor = MonitorIn(cgroup);
  ASSERT_NE(monitor, 0);
  kill(monitor, SIGKILL);
  for (int i = 0; i < 200 && base::PathExists(root_ + "/" + id); ++i) {
    EXPECT_EQ(Holt({"gc"}).status, 0);
    usleep(25'000);
  }
  EXPECT_FALSE(base::PathExists(cgroup));
}

TEST_F(HostCgroupTest, GcRemovesTheCgroupOfADeadSandboxThatStays) {
  std::string id = RunDetached({"demo", "sleep", "1000"});
  std::string cgroup = std::string(kRoot) + "/holt/" + id;
  pid_t monitor = MonitorIn(cgroup);
  ASSERT_NE(monitor, 0);
  kill(monitor, SIGKILL);
  ASSERT_TRUE(BecomesStopped(id));
  EXPECT_EQ(Holt({"gc"}).status, 0);
  EXPECT_FALSE(base::PathExists(cgroup));
  EXPECT_THAT(Holt({"state", id}).out, HasSubstr("\"stopped\""))
      << "its status is there to be read";
}

TEST_F(HostCgroupTest, OneWithProcessesIsAnErrorAndStays) {
  ASSERT_TRUE(base::MakeDirs(At("busy")).ok());
  auto sleeper = SleeperIn(At("busy"));
  WriteConfig(Config(R"(["true"])", Place("busy")));
  EXPECT_EQ(Create("c1").status, 1);
  EXPECT_THAT(Log(), HasSubstr("linux.cgroupsPath: cgroup /sys/fs/cgroup/holt-test/busy has "
                               "processes in it"));
  EXPECT_TRUE(Leftovers().empty());
  EXPECT_EQ(ProcessesIn(At("busy")).size(), 1u);
  EXPECT_EQ(kill(sleeper->pid(), 0), 0) << "somebody else's process was killed";
  kill(sleeper->pid(), SIGKILL);
  sleeper->Finish();
  EXPECT_EQ(Create("c1").status, 0) << "an empty one that the engine made is taken: " << Log();
  EXPECT_EQ(Holt({"delete", "c1"}).status, 0);
}

TEST_F(HostCgroupTest, OneThatWasGivenToAnotherSinceIsLeftAlone) {
  WriteConfig(Config(R"(["sleep","1000"])", Place("a")));
  ASSERT_EQ(Create("c1").status, 0) << Log();
  std::string first = PidFile();
  kill(MonitorIn(At("a")), SIGKILL);
  ASSERT_TRUE(BecomesStopped("c1"));
  for (int i = 0; i < 400 && !ProcessesIn(At("a")).empty(); ++i) usleep(25'000);
  ASSERT_EQ(Create("c2").status, 0) << Log();
  EXPECT_EQ(Holt({"delete", "--force", "c1"}).status, 0);
  EXPECT_NE(MonitorIn(At("a")), 0) << "the second container's cgroup was taken away";
  EXPECT_THAT(Holt({"state", "c2"}).out, HasSubstr("\"created\""));
}

TEST_F(HostCgroupTest, AFrozenOneIsAnError) {
  ASSERT_TRUE(base::MakeDirs(At("cold")).ok());
  ASSERT_TRUE(base::WriteFile(At("cold/cgroup.freeze"), "1").ok());
  WriteConfig(Config(R"(["true"])", Place("cold/c")));
  EXPECT_EQ(Create("c1").status, 1);
  EXPECT_THAT(Log(), HasSubstr("is frozen"));
  EXPECT_FALSE(base::PathExists(At("cold/c")));
}

TEST_F(HostCgroupTest, AMissingControllerIsAnErrorThatNamesIt) {
  ASSERT_TRUE(base::MakeDirs(At("full")).ok());
  auto sleeper = SleeperIn(At("full"));
  WriteConfig(
      Config(R"(["true"])", Place("full/c") + Resources(R"({"memory":{"limit":67108864}})")));
  EXPECT_EQ(Create("c1").status, 1);
  EXPECT_THAT(Log(), HasSubstr("linux.resources.memory.limit: cgroup "
                               "/sys/fs/cgroup/holt-test/full/c has no memory controller "
                               "(/sys/fs/cgroup/holt-test/full has processes of its own)"));
  EXPECT_FALSE(base::PathExists(At("full/c")));
  EXPECT_TRUE(Leftovers().empty());
  // What needs none is no error.
  WriteConfig(Config(R"(["true"])", Place("full/c") + Resources(R"({"memory":{"limit":-1}})")));
  EXPECT_EQ(Create("c1").status, 0) << Log();
  EXPECT_EQ(Holt({"delete", "c1"}).status, 0);
}

TEST_F(HostCgroupTest, WhatOnlyTheHostHasIsLimitedThere) {
  std::string disk;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/block"))
    if (entry.path().filename().string().starts_with("vd")) disk = Read(entry.path() / "dev");
  ASSERT_NE(disk, "") << "a disk of the lab";
  std::string numbers = disk;
  std::replace(numbers.begin(), numbers.end(), ':', ',');
  std::string major = disk.substr(0, disk.find(':'));
  std::string minor = disk.substr(disk.find(':') + 1);
  WriteConfig(
      Config(R"(["sh","-c","cat /sys/fs/cgroup/memory.high /sys/fs/cgroup/cpuset.cpus"])",
             Place("a") + Resources(R"({"cpu":{"cpus":"0","mems":"0"},"blockIO":{"weight":200,
          "throttleReadBpsDevice":[{"major":)" +
                                    major + R"(,"minor":)" + minor +
                                    R"(,"rate":104857600}]},
          "unified":{"memory.high":"134217728"}})")));
  ASSERT_EQ(Create("c1").status, 0) << Log();
  EXPECT_EQ(Read(At("a/cpuset.cpus")), "0");
  EXPECT_EQ(Read(At("a/cpuset.mems")), "0");
  EXPECT_THAT(Read(At("a/io.max")), HasSubstr(disk + " rbps=104857600"));
  EXPECT_THAT(Read(At("a/io.weight")) + Read(At("a/io.bfq.weight")),
              AnyOf(HasSubstr("default 1920"), HasSubstr("200")));
  EXPECT_EQ(Read(At("a/memory.high")), std::to_string((512ull + 256) << 20));
  ASSERT_EQ(Holt({"start", "c1"}).status, 0);
  ASSERT_TRUE(BecomesStopped("c1"));
  EXPECT_EQ(Output(), "134217728\n\n") << "the guest has the container's own, and no host CPUs";
}

TEST_F(HostCgroupTest, AnUpdateReachesBoth) {
  WriteConfig(Config(R"(["sleep","1000"])", Place("a") + Resources(R"({"pids":{"limit":20}})")));
  ASSERT_EQ(Create("c1").status, 0) << Log();
  ASSERT_EQ(Holt({"start", "c1"}).status, 0);
  Finished update = Holt({"update", "--pids-limit", "30", "--cpuset-cpus", "0", "c1"});
  ASSERT_EQ(update.status, 0) << update.err;
  EXPECT_EQ(Read(At("a/pids.max")), "158") << "and 128 for what runs the machine";
  EXPECT_EQ(Read(At("a/cpuset.cpus")), "0");
  Finished guest =
      Holt({"exec", "c1", "cat", "/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/cpuset.cpus"});
  EXPECT_EQ(guest.out, "30\n\n");
  // What the guest refuses is not the host's either.
  Finished refused = Holt({"update", "--pids-limit", "40", "--memory", "900g", "c1"});
  EXPECT_NE(refused.status, 0);
  EXPECT_EQ(Read(At("a/pids.max")), "158");
}

TEST_F(HostCgroupTest, WhatTheHostRefusesIsAnErrorThatNamesTheProperty) {
  auto refused = [&](const std::string& resources, const std::string& text) {
    WriteConfig(Config(R"(["true"])", Place("a") + Resources(resources)));
    EXPECT_EQ(Create("c1").status, 1) << resources;
    EXPECT_THAT(Log(), HasSubstr(text));
    EXPECT_FALSE(base::PathExists(At("a"))) << resources;
    EXPECT_TRUE(Leftovers().empty()) << resources;
  };
  refused(R"({"cpu":{"cpus":"7777"}})", "linux.resources.cpu.cpus");
  refused(R"({"cpu":{"quota":5}})", "linux.resources.cpu.quota");
  refused(R"({"unified":{"memory.high":"much"}})", R"(linux.resources.unified[\"memory.high\"])");
  refused(R"({"unified":{"nothing.max":"1"}})", "has no nothing controller");
  refused(R"({"blockIO":{"throttleReadBpsDevice":[{"major":4000,"minor":9,"rate":5}]}})",
          "linux.resources.blockIO.throttleReadBpsDevice[0]");
  WriteConfig(Config(R"(["true"])", R"(,"cgroupsPath":"/")"));
  EXPECT_EQ(Create("c1").status, 1);
  EXPECT_THAT(Log(), HasSubstr("linux.cgroupsPath"));
}

TEST_F(HostCgroupTest, DisabledMeansNone) {
  WriteConfig(Config(R"(["cat","/sys/fs/cgroup/memory.max"])",
                     Place("a") + Resources(R"({"memory":{"limit":67108864}})")));
  ASSERT_EQ(Create("c1", {}, {"--cgroup-manager", "disabled"}).status, 0) << Log();
  EXPECT_EQ(Log(), "");
  EXPECT_FALSE(base::PathExists(At("a")));
  EXPECT_EQ(Read("/proc/" + PidFile() + "/cgroup"), Read("/proc/self/cgroup"));
  ASSERT_EQ(Holt({"start", "c1"}).status, 0);
  ASSERT_TRUE(BecomesStopped("c1"));
  EXPECT_EQ(Output(), "67108864\n");
}

TEST_F(HostCgroupTest, AnUpdateChangesWhatItNamesAndNeverTakesTheMachinesMemory) {
  HostCgroup::Options options{.place = "/holt-test/u",
                              .owner = root_ + "/u",
                              .budget = {.machine_bytes = 200 << 20, .overhead_bytes = 50 << 20}};
  auto parse = [](std::string_view json) { return *oci::ParseResources(json); };
  auto made = HostCgroup::Create(
      options, parse(R"({"memory":{"limit":104857600},"pids":{"limit":5},"cpu":{"quota":50000}})"));
  ASSERT_TRUE(made.ok()) << made.error().message();
  EXPECT_EQ(Read(At("u/cpu.max")), "max 100000") << "not before the container is created";
  ASSERT_TRUE(made->ApplyBandwidth().ok());
  EXPECT_EQ(Read(At("u/cpu.max")), "50000 100000");
  ASSERT_TRUE(made->Update(parse(R"({"memory":{"limit":1048576},"cpu":{"shares":512}})")).ok());
  EXPECT_EQ(Read(At("u/memory.max")), std::to_string(250 << 20));
  EXPECT_EQ(Read(At("u/cpu.weight")), "59");
  EXPECT_EQ(Read(At("u/pids.max")), "133") << "what is absent stays";
  EXPECT_EQ(Read(At("u/cpu.max")), "50000 100000");
  ASSERT_TRUE(made->Update(parse(R"({"memory":{"limit":-1},"pids":{"limit":-1},
                                     "cpu":{"quota":-1}})"))
                  .ok());
  EXPECT_EQ(Read(At("u/memory.max")), "max");
  EXPECT_EQ(Read(At("u/pids.max")), "max");
  EXPECT_EQ(Read(At("u/cpu.max")), "max 100000");
  auto refused = made->Update(parse(R"({"cpu":{"cpus":"7777"}})"));
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message(), HasSubstr("linux.resources.cpu.cpus"));
  EXPECT_TRUE(RemoveHostCgroup("/holt-test/u", root_ + "/other", true).ok());
  EXPECT_TRUE(base::PathExists(At("u"))) << "another's was removed";
  EXPECT_TRUE(RemoveHostCgroup("/holt-test/u", options.owner, true).ok());
  EXPECT_FALSE(base::PathExists(At("u")));
}

class NoHostCgroupTest : public CgroupTest {
 protected:
  void SetUp() override {
    if (HostHasV2()) GTEST_SKIP() << "this host has cgroup v2";
    BundleTest::SetUp();
  }
  void TearDown() override {
    if (!HostHasV2()) BundleTest::TearDown();
  }
};

TEST_F(NoHostCgroupTest, LimitsAreTheGuestsAndOneWarningSaysSo) {
  WriteConfig(Config(R"(["cat","/sys/fs/cgroup/memory.max"])",
                     R"(,"cgroupsPath":"/holt-test/a","resources":{"memory":{"limit":67108864}})"));
  Finished created = Create("c1");
  ASSERT_EQ(created.status, 0) << Log();
  EXPECT_THAT(Log(), ContainsRegex(R"(^\{"level":"warning","msg":"this host has cgroup v1:.*\}
$)"));
  std::string log = Log();
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
  EXPECT_EQ(created.err, "") << "which is the container's";
  ASSERT_EQ(Holt({"start", "c1"}).status, 0);
  ASSERT_TRUE(BecomesStopped("c1"));
  EXPECT_EQ(Output(), "67108864\n");
}

TEST_F(NoHostCgroupTest, WithoutLimitsThereIsNothingToWarnOf) {
  WriteConfig(Config(R"(["true"])", R"(,"cgroupsPath":"/holt-test/a","resources":{
      "memory":{"limit":-1},"pids":{"limit":0},"blockIO":{"weight":0}})"));
  ASSERT_EQ(Create("c1").status, 0) << Log();
  EXPECT_EQ(Log(), "");
}

TEST_F(NoHostCgroupTest, WhatTheGuestCannotLimitIsAnError) {
  auto refused = [&](const std::string& resources, const std::string& property) {
    WriteConfig(Config(R"(["true"])", R"(,"resources":)" + resources));
    EXPECT_EQ(Create("c1").status, 1) << resources;
    EXPECT_THAT(Log(), HasSubstr(property + ": needs cgroup v2 on the host"));
    EXPECT_TRUE(Leftovers().empty()) << resources;
  };
  refused(R"({"cpu":{"cpus":"0"}})", "linux.resources.cpu.cpus");
  refused(R"({"blockIO":{"weight":100}})", "linux.resources.blockIO.weight");
}

TEST_F(NoHostCgroupTest, TheSystemdManagerIsRefused) {
  WriteConfig(Config(R"(["true"])", R"(,"cgroupsPath":"a.slice:b:c")"));
  EXPECT_EQ(Create("c1", {}, {"--cgroup-manager", "systemd"}).status, 1);
  EXPECT_THAT(Log(), HasSubstr("--cgroup-manager systemd"));
}

}  // namespace
}  // namespace holt
