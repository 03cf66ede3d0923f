// Docker's default on a host with systemd and cgroup v2: a scope for each container.
#include "tests/e2e/docker_fixture.h"
#include "tests/e2e/systemd_host.h"

namespace holt {
namespace {

using testing::ContainsRegex;

class DockerSystemdTest : public DockerTest {
 protected:
  static void SetUpTestSuite() {
    if (!HostHasSystemd()) return;
    cgroup_driver_ = "systemd";
    DockerTest::SetUpTestSuite();
  }
  static void TearDownTestSuite() {
    if (!HostHasSystemd()) return;
    DockerTest::TearDownTestSuite();
    // Slices are systemd's own to keep.
    Systemctl({"stop", "holt.slice"});
  }
  void SetUp() override {
    if (!HostHasSystemd()) GTEST_SKIP() << "this host has no systemd with pure cgroup v2";
    DockerTest::SetUp();
  }
  void TearDown() override {
    if (!HostHasSystemd()) return;
    DockerTest::TearDown();
    EXPECT_EQ(ListUnits({"docker-*.scope"}), "");
  }
  static std::string ScopeOf(const std::string& name) {
    return "docker-" + Inspect(name, "{{.Id}}") + ".scope";
  }
  static bool Gone(const std::string& scope) {
    return Eventually([&] { return ListUnits({scope}).empty(); });
  }
};

TEST_F(DockerSystemdTest, ScopesLimitsAndStatistics) {
  EXPECT_EQ(Docker({"info", "--format", "{{.CgroupDriver}} {{.CgroupVersion}}"}).out,
            "systemd 2\n");
  Start("c1", {"--network=none", "--cgroup-parent=holt-test.slice", "--memory=200m",
               "--pids-limit=50", "--cpus=0.5", "demo", "sh", "-c",
               "trap 'exit 3' TERM; echo up; while :; do sleep 0.1; done"});
  ASSERT_TRUE(LogsSay("c1", "up\n"));
  const std::string scope = ScopeOf("c1");
  EXPECT_EQ(ShowUnit(scope, "ControlGroup"), "/holt.slice/holt-test.slice/" + scope);
  EXPECT_EQ(base::ReadFile("/proc/" + Inspect("c1", "{{.State.Pid}}") + "/cgroup").value_or(""),
            "0::/holt.slice/holt-test.slice/" + scope + "\n");
  EXPECT_EQ(ShowUnit(scope, "TasksMax"), "178");
  EXPECT_EQ(ShowUnit(scope, "CPUQuotaPerSecUSec"), "500ms");
  EXPECT_NE(ShowUnit(scope, "MemoryMax"), "infinity");
  const std::string limits = "cd /sys/fs/cgroup; cat memory.max pids.max cpu.max";
  EXPECT_EQ(Inside("c1", limits), "209715200\n50\n50000 100000\n");

  EXPECT_THAT(Docker({"stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", "c1"}).out,
              ContainsRegex("^[1-9][0-9.]*MiB / [1-9][0-9.]*MiB [1-9]"));
  Finished update = Docker(
      {"update", "--memory=100m", "--memory-swap=100m", "--cpus=0.7", "--pids-limit=60", "c1"});
  EXPECT_EQ(update.status, 0) << update.err;
  EXPECT_EQ(Inside("c1", limits), "104857600\n60\n70000 100000\n");
  EXPECT_EQ(ShowUnit(scope, "CPUQuotaPerSecUSec"), "700ms");
  EXPECT_EQ(ShowUnit(scope, "TasksMax"), "188");

  EXPECT_EQ(Docker({"pause", "c1"}).status, 0);
  EXPECT_EQ(Inspect("c1", "{{.State.Status}}"), "paused");
  EXPECT_EQ(Docker({"unpause", "c1"}).status, 0);
  EXPECT_EQ(Docker({"stop", "c1"}).status, 0);
  EXPECT_EQ(Inspect("c1", "{{.State.ExitCode}}"), "3");
  EXPECT_TRUE(Gone(scope)) << ListUnits({scope});
}

// The container is over by a signal, and its scope goes with it.
TEST_F(DockerSystemdTest, AScopeEndsWithAKilledContainer) {
  Start("c1", {"--network=none", "demo", "sleep", "1000"});
  const std::string scope = ScopeOf("c1");
  EXPECT_EQ(ShowUnit(scope, "ControlGroup"), "/system.slice/" + scope);
  EXPECT_EQ(Docker({"kill", "c1"}).status, 0);
  EXPECT_EQ(Docker({"wait", "c1"}).out, "137\n");
  EXPECT_TRUE(Gone(scope)) << ListUnits({scope});
  EXPECT_EQ(Docker({"start", "c1"}).status, 0);
  EXPECT_EQ(ShowUnit(scope, "ActiveState"), "active");
  EXPECT_EQ(Inside("c1", "echo again"), "again\n");
}

}  // namespace
}  // namespace holt
