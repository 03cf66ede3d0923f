// holt-agent in the real guest: what a container gets of its configuration, limits, the sandbox.

#include <thread>

#include "tests/e2e/agent_fixture.h"

namespace holt {
namespace {

using base::Code;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class AgentContainerTest : public SharedVm<AgentContainerTest> {};

TEST_F(AgentContainerTest, HasWhatItsConfigurationSays) {
  auto outcome = vm().Sh(
      "hostname; hostname -d 2>/dev/null; cat /proc/sys/kernel/msgmax; umask; pwd; id -u; id -g; "
      "id -G; echo $FOO; echo $HOME; cat /proc/self/oom_score_adj",
      "", [](oci::Config& config) {
        config.hostname = "otter";
        config.linux_->sysctl["kernel.msgmax"] = "65530";
        config.process->user = {1000, 1001, 077, {5, 6}, ""};
        config.process->cwd = "/tmp";
        config.process->env.push_back("FOO=bar baz");
        config.process->oom_score_adj = 123;
      });
  EXPECT_EQ(outcome.out, "otter\n65530\n0077\n/tmp\n1000\n1001\n1001 5 6\nbar baz\n/\n123\n")
      << outcome.err;
}

TEST_F(AgentContainerTest, UsersByName) {
  auto outcome = vm().Sh("id -un; echo $HOME", "",
                         [](oci::Config& config) { config.process->user.username = "games"; });
  EXPECT_EQ(outcome.out, "games\n/usr/games\n");
  oci::Config config = ContainerConfig({"true"});
  config.process->user.username = "nobody-at-all";
  auto missing = vm().Run(config);
  ASSERT_FALSE(missing.ok());
  EXPECT_THAT(missing.error().message(), HasSubstr("unable to find user nobody-at-all"));
  // What failed left nothing: the same name works at once.
  EXPECT_EQ(vm().Create("again", config).ok(), false);
  config.process->user.username = "";
  EXPECT_TRUE(vm().Create("again", config).ok());
  DeleteOk("again");
}

TEST_F(AgentContainerTest, Capabilities) {
  auto outcome = vm().Sh("grep Cap /proc/self/status", "", [](oci::Config& config) {
    oci::Capabilities capabilities;
    capabilities.bounding = capabilities.permitted =
        capabilities.effective = {"CAP_CHOWN", "CAP_KILL"};
    config.process->capabilities = capabilities;
  });
  EXPECT_THAT(
      outcome.out,
      AllOf(HasSubstr("CapEff:\t0000000000000021"), HasSubstr("CapPrm:\t0000000000000021"),
            HasSubstr("CapBnd:\t0000000000000021"), HasSubstr("CapInh:\t0000000000000000")));
  outcome = vm().Sh("grep CapEff /proc/self/status; grep CapAmb /proc/self/status", "",
                    [](oci::Config& config) {
                      oci::Capabilities capabilities;
                      capabilities.bounding = capabilities.permitted = capabilities.effective =
                          capabilities.inheritable = capabilities.ambient = {"CAP_NET_RAW"};
                      config.process->capabilities = capabilities;
                      config.process->user.uid = 1000;
                    });
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("CapEff:\t0000000000002000"),
                                 HasSubstr("CapAmb:\t0000000000002000")));
}

TEST_F(AgentContainerTest, Seccomp) {
  oci::Seccomp seccomp;
  seccomp.default_action = "SCMP_ACT_ALLOW";
  seccomp.syscalls = {{{"getppid", "mkdir", "mkdirat"}, "SCMP_ACT_ERRNO", 1, {}}};
  for (bool no_new_privileges : {true, false}) {
    oci::Config config = ContainerConfig({"/probe", "getppid"});
    config.linux_->seccomp = seccomp;
    config.process->no_new_privileges = no_new_privileges;
    auto outcome = vm().Run(config);
    ASSERT_TRUE(outcome.ok()) << outcome.error().message();
    EXPECT_EQ(outcome->out, "Operation not permitted\n") << no_new_privileges;
  }
  EXPECT_EQ(vm().Run(ContainerConfig({"/probe", "getppid"}))->out, "ok\n");
}

TEST_F(AgentContainerTest, Rlimits) {
  oci::Config config = ContainerConfig({"/probe", "nofile"});
  EXPECT_EQ(vm().Run(config)->out, "1024 1048576\n");
  config.process->rlimits = {{"RLIMIT_NOFILE", 200, 100}};
  EXPECT_EQ(vm().Run(config)->out, "100 200\n");
}

TEST_F(AgentContainerTest, MaskedAndReadOnlyPaths) {
  auto outcome = vm().Sh(
      "cat /proc/keys; ls /sys/firmware | wc -l; echo 1 >/proc/sys/kernel/msgmax; echo x "
      ">/proc/irq/default_smp_affinity; true");
  EXPECT_THAT(outcome.out, StartsWith("0\n")) << outcome.out;
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("/proc/sys/kernel/msgmax: Read-only"),
                                 HasSubstr("/proc/irq/default_smp_affinity: Read-only")));
}

TEST_F(AgentContainerTest, AReadOnlyRootIsReadOnly) {
  auto outcome = vm().Sh("touch /tmp/x || echo refused; touch /dev/shm/x && echo shm", "",
                         [](oci::Config& config) { config.root->readonly = true; });
  EXPECT_EQ(outcome.out, "refused\nshm\n");
  EXPECT_EQ(vm().Sh("touch /tmp/x && echo written").out, "written\n");
}

TEST_F(AgentContainerTest, MountsFromTheShare) {
  ASSERT_TRUE(base::MakeDirs(vm().share() + "/volume").ok());
  ASSERT_TRUE(base::WriteFile(vm().share() + "/volume/file", "from the host\n").ok());
  auto outcome =
      vm().Sh("cat /data/file; touch /data/new || echo refused; cat /one; df /scratch | tail -1",
              "", [](oci::Config& config) {
                config.mounts.push_back({"/data", "bind", "volume", {"rbind", "ro"}, {}, {}});
                config.mounts.push_back({"/one", "bind", "volume/file", {"bind"}, {}, {}});
                config.mounts.push_back({"/scratch", "tmpfs", "tmpfs", {"size=4m"}, {}, {}});
              });
  EXPECT_THAT(outcome.out, StartsWith("from the host\nrefused\nfrom the host\n"));
  EXPECT_THAT(outcome.out, HasSubstr("4096"));
}

TEST_F(AgentContainerTest, Devices) {
  auto outcome = vm().Sh(
      "ls -l /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty | cut -c1-10 | sort "
      "-u; readlink /dev/fd /dev/ptmx; head -c 4 /dev/zero | wc -c");
  EXPECT_EQ(outcome.out, "crw-rw-rw-\n/proc/self/fd\npts/ptmx\n4\n") << outcome.err;
  auto device = [](const char* type, const char* major, const char* minor, bool allow) {
    oci::Config config = ContainerConfig({"/probe", "device", type, major, minor});
    if (allow) {
      config.linux_->resources.emplace();
      config.linux_->resources->devices = {{false, "a", {}, {}, "rwm"},
                                           {true, type, atoi(major), atoi(minor), "rwm"}};
    }
    return vm().Run(config)->out;
  };
  EXPECT_EQ(device("c", "1", "5", false), "ok\n");
  EXPECT_EQ(device("c", "10", "229", false), "Operation not permitted\n") << "/dev/fuse";
  EXPECT_EQ(device("c", "10", "229", true), "ok\n");
  EXPECT_EQ(device("c", "5", "1", false), "Operation not permitted\n") << "/dev/console";
}

TEST_F(AgentContainerTest, PidsLimit) {
  auto outcome = vm().Sh("for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1 & done; wait", "",
                         [](oci::Config& config) {
                           config.linux_->resources.emplace();
                           config.linux_->resources->pids = oci::PidsResources{5};
                         });
  EXPECT_NE(outcome.status, 0);
  EXPECT_THAT(outcome.err, HasSubstr("fork"));
}

TEST_F(AgentContainerTest, TheMemoryLimitEndsItAndIsReported) {
  oci::Config config = ContainerConfig({"/probe", "eat", "200"});
  config.linux_->resources.emplace();
  config.linux_->resources->memory.emplace();
  config.linux_->resources->memory->limit = 32 << 20;
  auto oom = vm().NewClient();
  ASSERT_NE(oom, nullptr);
  base::Result<agent::v1::OomEvent> event = base::Error(Code::kInternal, "");
  std::thread waiter([&] {
    event = oom->Call<agent::v1::OomEvent>("holt.agent.v1.Agent", "WaitOom", agent::v1::Empty(),
                                           {.timeout = std::chrono::seconds(30)});
  });
  auto process = Background("hungry", config);
  auto outcome = vm().Finish(std::move(process));
  waiter.join();
  EXPECT_EQ(outcome.status, 137);
  EXPECT_TRUE(outcome.oom_killed);
  ASSERT_TRUE(event.ok()) << event.error().message();
  EXPECT_EQ(event->container_id(), "hungry");
  auto stats = vm().Call<agent::v1::StatsResponse>("Stats", Named("hungry"));
  ASSERT_TRUE(stats.ok());
  EXPECT_EQ(stats->memory_limit_bytes(), 32u << 20);
  EXPECT_GE(stats->memory_events().at("oom_kill"), 1u);
  DeleteOk("hungry");
  EXPECT_FALSE(vm().Sh("kill -9 $$; sleep 1").oom_killed);
}

TEST_F(AgentContainerTest, PauseStopsTimeForIt) {
  auto process = Background(
      "paused",
      ContainerConfig({"sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done"}));
  ReadStream(process.out.get(), "3\n");
  ASSERT_TRUE(vm().Call<agent::v1::Empty>("Pause", Named("paused")).ok());
  usleep(200000);
  char buffer[65536];
  while (recv(process.out.get(), buffer, sizeof buffer, MSG_DONTWAIT) > 0) {
  }
  usleep(300000);
  EXPECT_LT(recv(process.out.get(), buffer, sizeof buffer, MSG_DONTWAIT), 0)
      << "it wrote while paused";
  EXPECT_EQ(vm().Exec("paused", "e", ContainerProcess({"true"})).error().code(),
            Code::kFailedPrecondition);
  ASSERT_TRUE(vm().Call<agent::v1::Empty>("Resume", Named("paused")).ok());
  ReadStream(process.out.get(), "\n");
  ASSERT_TRUE(vm().Call<agent::v1::Empty>("Pause", Named("paused")).ok());
  DeleteOk("paused");  // frozen or not
}

TEST_F(AgentContainerTest, UpdateAndStats) {
  auto process = Background("updated", Sleeper());
  ReadStream(process.out.get(), "up");
  agent::v1::UpdateRequest update;
  update.set_container_id("updated");
  update.set_oci_resources(
      R"({"memory":{"limit":67108864},"pids":{"limit":50},"cpu":{"shares":512}})");
  auto updated = vm().Call<agent::v1::Empty>("Update", update);
  ASSERT_TRUE(updated.ok()) << updated.error().message();
  auto stats = vm().Call<agent::v1::StatsResponse>("Stats", Named("updated"));
  ASSERT_TRUE(stats.ok());
  EXPECT_EQ(stats->memory_limit_bytes(), 64u << 20);
  EXPECT_EQ(stats->pids_limit(), 50u);
  EXPECT_GE(stats->pids_current(), 1u);
  EXPECT_GT(stats->cpu_usage_nanos(), 0u);
  EXPECT_GT(stats->memory_usage_bytes(), 0u);
  update.set_oci_resources(R"({"memory":{"swappiness":50}})");
  EXPECT_EQ(vm().Call<agent::v1::Empty>("Update", update).error().code(), Code::kUnsupported);
  DeleteOk("updated");
}

TEST_F(AgentContainerTest, BadRequestsAreErrorsAndLeaveNothing) {
  agent::v1::CreateContainerRequest request;
  request.set_container_id("../escape");
  request.set_oci_config(oci::SerializeConfig(ContainerConfig({"true"})));
  EXPECT_EQ(
      vm().Call<agent::v1::CreateContainerResponse>("CreateContainer", request).error().code(),
      Code::kInvalidArgument);
  request.set_container_id("bad");
  request.set_oci_config("{");
  EXPECT_EQ(
      vm().Call<agent::v1::CreateContainerResponse>("CreateContainer", request).error().code(),
      Code::kInvalidArgument);
  oci::Config config = ContainerConfig({"true"});
  config.linux_->namespaces.erase(config.linux_->namespaces.begin());
  request.set_oci_config(oci::SerializeConfig(config));
  auto refused = vm().Call<agent::v1::CreateContainerResponse>("CreateContainer", request);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kUnsupported);
  EXPECT_THAT(refused.error().message(), HasSubstr("pid namespace"));
  config = ContainerConfig({"true"});
  config.root->path = "nowhere";
  auto missing = vm().Run(config);
  ASSERT_FALSE(missing.ok());
  EXPECT_THAT(missing.error().message(), HasSubstr("root.path"));
  EXPECT_EQ(vm().Delete("bad").error().code(), Code::kNotFound);
  auto once = Background("twice", Sleeper());
  EXPECT_EQ(vm().Create("twice", Sleeper()).error().code(), Code::kAlreadyExists);
  EXPECT_EQ(vm().Start("twice").error().code(), Code::kFailedPrecondition);
  DeleteOk("twice");
}

TEST_F(AgentContainerTest, TheSandbox) {
  agent::v1::CreateSandboxRequest request;
  request.set_sandbox_id("s");
  request.set_hostname("guest");
  request.set_time_unix_nanos(1'700'000'000'000'000'000);
  (*request.mutable_sysctls())["net.ipv4.ip_unprivileged_port_start"] = "77";
  auto created = vm().Call<agent::v1::CreateSandboxResponse>("CreateSandbox", request);
  ASSERT_TRUE(created.ok()) << created.error().message();
  EXPECT_THAT(created->kernel_release(), StartsWith("6."));
  EXPECT_EQ(vm().Call<agent::v1::CreateSandboxResponse>("CreateSandbox", request).error().code(),
            Code::kFailedPrecondition);
  EXPECT_THAT(vm().Sh("date +%s").out, StartsWith("17000000"));
  EXPECT_EQ(vm().Sh("cat /proc/sys/net/ipv4/ip_unprivileged_port_start").out, "77\n");
  agent::v1::SetTimeRequest time;
  time.set_time_unix_nanos(1'800'000'000'000'000'000);
  ASSERT_TRUE(vm().Call<agent::v1::Empty>("SetTime", time).ok());
  EXPECT_THAT(vm().Sh("date +%s").out, StartsWith("18000000"));
  EXPECT_THAT(vm().Sh("cat /proc/net/dev").out, HasSubstr("lo:"));
  EXPECT_EQ(vm().Sh("exec 3<>/dev/tcp/127.0.0.1/1", "",
                    [](oci::Config& config) { config.process->args[0] = "bash"; })
                .err.find("Network is unreachable"),
            std::string::npos);
}

TEST_F(AgentContainerTest, AContainerMayRunWithoutACgroupNamespace) {
  auto outcome =
      vm().Sh("cat /sys/fs/cgroup/pids.max; ls /sys/fs/cgroup/holt", "", [](auto& config) {
        std::erase_if(config.linux_->namespaces, [](const auto& n) { return n.type == "cgroup"; });
        config.linux_->resources.emplace();
        config.linux_->resources->pids = oci::PidsResources{44};
      });
  EXPECT_EQ(outcome.out, "44\n") << "its own group, and nothing above";
}

TEST_F(AgentContainerTest, ExecFollowsAContainerThatMovedIntoACgroupOfItsOwn) {
  oci::Config config = ContainerConfig({"sh", "-c",
                                        "cd /sys/fs/cgroup; mkdir init; echo 1 >init/cgroup.procs; "
                                        "echo +pids >cgroup.subtree_control;"
                                        " echo up; exec sleep 1000"});
  for (oci::Mount& mount : config.mounts)
    if (mount.type == "cgroup") mount.options = {"nosuid", "noexec", "nodev", "rw"};
  auto process = Background("systemd", config);
  ReadStream(process.out.get(), "up");
  auto exec = vm().Exec("systemd", "e", ContainerProcess({"cat", "/proc/self/cgroup"}));
  ASSERT_TRUE(exec.ok()) << exec.error().message();
  EXPECT_EQ(vm().Finish(std::move(*exec)).out, "0::/init\n");
  DeleteOk("systemd");
}

TEST_F(AgentContainerTest, StartContainerHooksRunInTheContainerBeforeIt) {
  oci::Config config = ContainerConfig({"cat", "/tmp/hook"});
  config.hooks.emplace();
  config.hooks->start_container = {
      {"/bin/sh", {"sh", "-c", "cat >/tmp/hook; echo $X >>/tmp/hook"}, {"X=y", "PATH=/bin"}, {}}};
  auto outcome = vm().Run(config);
  ASSERT_TRUE(outcome.ok()) << outcome.error().message();
  EXPECT_THAT(outcome->out,
              AllOf(HasSubstr("\"status\":\"created\""), HasSubstr("\"pid\":1"), HasSubstr("y\n")));
  config.hooks->start_container[0].args = {"sh", "-c", "exit 3"};
  outcome = vm().Run(config);
  ASSERT_FALSE(outcome.ok());
  EXPECT_THAT(outcome.error().message(), HasSubstr("hooks.startContainer[0]"));
  config.hooks->start_container[0].args = {"sh", "-c", "sleep 100"};
  config.hooks->start_container[0].timeout = 1;
  outcome = vm().Run(config);
  ASSERT_FALSE(outcome.ok());
  EXPECT_THAT(outcome.error().message(), HasSubstr("timeout of 1 s"));
}

TEST_F(AgentContainerTest, ACreationThatNobodyWaitsForIsUndone) {
  agent::v1::CreateContainerRequest request;
  request.set_container_id("given-up");
  request.set_oci_config(oci::SerializeConfig(ContainerConfig({"true"})));
  request.mutable_stdio()->set_stdout_stream(987654);  // does not come
  auto created = vm().Call<agent::v1::CreateContainerResponse>("CreateContainer", request,
                                                               std::chrono::seconds(1));
  ASSERT_FALSE(created.ok());
  EXPECT_EQ(created.error().code(), Code::kDeadlineExceeded);
  // The guest's clock may run out a little after ours.
  auto again = vm().Create("given-up", Sleeper());
  for (int i = 0; i < 100 && !again && again.error().code() == Code::kAlreadyExists; ++i) {
    usleep(50'000);
    again = vm().Create("given-up", Sleeper());
  }
  ASSERT_TRUE(again.ok()) << again.error().message();
  DeleteOk("given-up");
}

}  // namespace
}  // namespace holt
