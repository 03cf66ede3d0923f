// Podman's defaults on a host with systemd: scopes, slices, timers and the journal.
#include <gmock/gmock.h>
#include <unistd.h>

#include "tests/e2e/engine_fixture.h"
#include "tests/e2e/systemd_host.h"

namespace holt {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;

constexpr char kInstalled[] = "/etc/containers/containers.conf.d/holt.conf";

// Podman as it is installed, for timers call it without any flags of ours.
class PodmanSystemdTest : public EngineTest {
 protected:
  // It is thrown away.
  static bool InLab() { return getenv("HOLT_IN_LAB") != nullptr; }
  void SetUp() override {
    if (!InLab()) GTEST_SKIP() << "installs Podman's configuration: for the lab only";
    HoltTest::SetUp();
    ASSERT_TRUE(base::MakeDirs("/etc/containers/containers.conf.d").ok());
    ASSERT_TRUE(
        base::WriteFile(kInstalled, Snippet("podman/holt.conf", InstallHolt(scratch_, Command({}))))
            .ok());
    Finished imported = Podman({"import", Images() + "/demo.tar", "demo"});
    ASSERT_EQ(imported.status, 0) << imported.err;
  }
  void TearDown() override {
    if (!InLab()) return;
    (void)Podman({"pod", "rm", "--all", "--force", "--time", "0"});
    (void)Podman({"rm", "--all", "--force", "--time", "0"});
    (void)Podman({"rmi", "--all", "--force"});
    HoltTest::TearDown();
    unlink(kInstalled);
  }
  static Finished Podman(const std::vector<std::string>& args) {
    std::vector<std::string> words = {"/usr/bin/podman", "--runtime=holt"};
    words.insert(words.end(), args.begin(), args.end());
    return Program::Start(words, {})->Finish();
  }
  static Finished Run(std::vector<std::string> args) {
    args.insert(args.begin(), {"run", "--network=none"});
    return Podman(args);
  }
  static std::string Trimmed(std::string text) {
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
  }
  static std::string Inspect(const std::string& name, const std::string& format) {
    return Trimmed(Podman({"inspect", name, "--format", format}).out);
  }
};

TEST_F(PodmanSystemdTest, ScopesLimitsAndStatistics) {
  EXPECT_EQ(Trimmed(Podman({"info", "--format", "{{.Host.CgroupManager}}"}).out), "systemd");
  Finished run = Run({"-d", "--name=c1", "--cgroup-parent=holt-test.slice", "--memory=200m",
                      "--pids-limit=50", "--cpus=0.5", "demo", "sleep", "1000"});
  ASSERT_EQ(run.status, 0) << run.err;
  const std::string scope = "libpod-" + Trimmed(run.out) + ".scope";
  EXPECT_EQ(ShowUnit(scope, "ControlGroup"), "/holt.slice/holt-test.slice/" + scope);
  const std::string pid = Inspect("c1", "{{.State.Pid}}");
  EXPECT_EQ(Trimmed(base::ReadFile("/proc/" + pid + "/cgroup").value_or("")),
            "0::/holt.slice/holt-test.slice/" + scope);
  EXPECT_EQ(ShowUnit(scope, "TasksMax"), "178");
  EXPECT_EQ(ShowUnit(scope, "CPUQuotaPerSecUSec"), "500ms");
  EXPECT_NE(ShowUnit(scope, "MemoryMax"), "infinity");

  Finished stats = Podman({"stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", "c1"});
  EXPECT_THAT(stats.out, ContainsRegex("^[0-9.]+MB / [0-9.]+MB [0-9]+")) << stats.err;
  Finished update = Podman({"update", "--cpus=0.7", "c1"});
  EXPECT_EQ(update.status, 0) << update.err;
  EXPECT_EQ(ShowUnit(scope, "CPUQuotaPerSecUSec"), "700ms");

  EXPECT_EQ(Podman({"pause", "c1"}).status, 0);
  EXPECT_EQ(Inspect("c1", "{{.State.Status}}"), "paused");
  EXPECT_EQ(Podman({"unpause", "c1"}).status, 0);
  EXPECT_EQ(Podman({"rm", "--force", "--time=0", "c1"}).status, 0);
  EXPECT_EQ(ListUnits({scope}), "");
}

TEST_F(PodmanSystemdTest, HealthChecksByTimers) {
  Finished run = Run({"-d", "--name=c1", "--health-cmd=test -e /tmp/well", "--health-interval=1s",
                      "--health-retries=1", "demo", "sleep", "1000"});
  ASSERT_EQ(run.status, 0) << run.err;
  auto becomes = [&](const std::string& health) {
    for (int i = 0; i < 100; ++i) {
      if (Inspect("c1", "{{.State.Health.Status}}") == health) return true;
      usleep(200'000);
    }
    return false;
  };
  EXPECT_TRUE(becomes("unhealthy"));
  EXPECT_EQ(Podman({"exec", "c1", "touch", "/tmp/well"}).status, 0);
  EXPECT_TRUE(becomes("healthy")) << Inspect("c1", "{{json .State.Health}}");
}

TEST_F(PodmanSystemdTest, AnInitInFront) {
  Finished run = Run({"--rm", "--init", "demo", "sh", "-c", "cat /proc/1/comm; exit 6"});
  EXPECT_EQ(run.status, 6) << run.err;
  EXPECT_EQ(run.out, "podman-init\n");
}

TEST_F(PodmanSystemdTest, APodSharesNoNamespace) {
  ASSERT_EQ(Podman({"pod", "create", "--name=none", "--share=none", "--infra=false"}).status, 0);
  Finished run = Run({"--rm", "--pod=none", "demo", "echo", "in a pod"});
  EXPECT_EQ(run.out, "in a pod\n") << run.err;
  ASSERT_EQ(Run({"-d", "--name=c1", "--pod=none", "demo", "sleep", "1000"}).status, 0);
  EXPECT_EQ(Podman({"pod", "stop", "--time=0", "none"}).status, 0);
  EXPECT_EQ(Inspect("c1", "{{.State.Status}}"), "exited");

  // What Podman makes of itself: a container that holds namespaces for the others.
  Finished made = Podman({"pod", "create", "--name=shared", "--infra-image=demo",
                          "--infra-command=sleep 1000", "--network=none"});
  ASSERT_EQ(made.status, 0) << made.err;
  ASSERT_EQ(Podman({"pod", "start", "shared"}).status, 0);
  Finished refused = Podman({"run", "--rm", "--pod=shared", "demo", "true"});
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.err, HasSubstr("not supported: joining another container's namespace (ipc)"));
}

TEST_F(PodmanSystemdTest, AServiceIsActiveWhenItsContainerSaysSo) {
  constexpr char kService[] = "holt-podman-test.service";
  const std::string file = std::string("/run/systemd/system/") + kService;
  // As `podman generate systemd` writes it, but for --sdnotify.
  ASSERT_TRUE(
      base::WriteFile(file,
                      "[Service]\nType=notify\nNotifyAccess=all\nTimeoutStartSec=90\n"
                      "ExecStart=/usr/bin/podman --runtime=holt run --cgroups=no-conmon --rm -d "
                      "--network=none --name=c1 --sdnotify=container -v " +
                          BuildDirectory() +
                          "/tests/e2e/volume_probe:/probe:ro demo sh -c "
                          "\"sleep 1; /probe notify READY=1 barrier; exec sleep 1000\"\n"
                          "ExecStop=/usr/bin/podman rm -f -t 0 -i c1\n")
          .ok());
  Systemctl({"daemon-reload"});
  Finished start = Program::Start({"/bin/systemctl", "start", kService}, {})->Finish();
  EXPECT_EQ(start.status, 0) << start.err << Systemctl({"status", kService});
  EXPECT_EQ(ShowUnit(kService, "ActiveState"), "active");
  EXPECT_EQ(Inspect("c1", "{{.State.Status}}"), "running");
  Systemctl({"stop", kService});
  unlink(file.c_str());
  Systemctl({"daemon-reload"});
}

}  // namespace
}  // namespace holt
