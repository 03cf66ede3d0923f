// holt-monitor when things go wrong: bad input, processes killed at every stage, callers that
// vanish.

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "base/file.h"
#include "base/socket.h"
#include "base/spawn.h"
#include "guest-agent/initramfs.h"
#include "rpc/agent.pb.h"
#include "shim/monitor/cleanup.h"
#include "shim/state/uid_lease.h"
#include "shim/stdio/attach_client.h"
#include "shim/stub/start.h"
#include "tests/e2e/sandbox_harness.h"

namespace holt {
namespace {

using namespace std::chrono_literals;
using ::testing::AnyOf;
using ::testing::HasSubstr;

class MonitorFailureTest : public SandboxTest {
 protected:
  // The error of a start that must fail, and nothing left by it.
  std::string Refused(std::function<void(oci::Config&, shim::Request&)> change) {
    oci::Config config = ConfigOf({"true"});
    shim::Request request = RequestOf("a");
    change(config, request);
    auto monitor = Create(request, config);
    EXPECT_FALSE(monitor.ok());
    EXPECT_FALSE(base::PathExists(PathsOf("a").directory));
    EXPECT_TRUE(Leftovers().empty()) << Leftovers()[0];
    return monitor ? "it started" : monitor.error().message();
  }
  std::vector<std::string> Machine() {
    if (Accel() == "kvm") return {"holt-vmm", "holt-fsd"};
    return {"holt-vmm", "holt-fsd", "QEMU"};
  }
};

TEST_F(MonitorFailureTest, BadInputIsNamed) {
  EXPECT_THAT(Refused([](auto&, auto& request) { request.kernel = "/nonexistent/vmlinux"; }),
              HasSubstr("/nonexistent/vmlinux"));
  EXPECT_THAT(Refused([](auto&, auto& request) { request.initramfs = "/nonexistent/initramfs"; }),
              HasSubstr("/nonexistent/initramfs"));
  EXPECT_THAT(Refused([](auto&, auto& request) { request.memory_bytes = 8 << 20; }),
              HasSubstr("8 MiB of memory are too little"));
  EXPECT_THAT(Refused([](auto&, auto& request) { request.rootfs = "/nonexistent/rootfs"; }),
              HasSubstr("/nonexistent/rootfs"));
  EXPECT_THAT(Refused([](auto& config, auto&) { config.process->cwd = "relative"; }),
              HasSubstr("process.cwd"));
  EXPECT_THAT(Refused([](auto& config, auto&) {
                config.mounts.push_back(
                    {.destination = "/x", .type = "bind", .source = "/nonexistent/volume"});
              }),
              HasSubstr("/nonexistent/volume"));
  EXPECT_THAT(Refused([](auto& config, auto&) { config.linux_->intel_rdt.emplace(); }),
              HasSubstr("linux.intelRdt"));
}

TEST_F(MonitorFailureTest, AKernelThatIsNoneIsNamed) {
  std::string fake = root_ + "/not-a-kernel";
  ASSERT_TRUE(base::WriteFile(fake, std::string(1 << 20, 'x')).ok());
  std::string error = Refused([&](auto&, auto& request) { request.kernel = fake; });
  EXPECT_THAT(error, AnyOf(HasSubstr("kernel"), HasSubstr("PVH"))) << error;
  unlink(fake.c_str());
}

TEST_F(MonitorFailureTest, AGuestThatPanicsSaysItsLastLine) {
  std::string path = root_ + "/initramfs";
  guest_agent::NewcArchive archive;
  archive.AddDirectory("dev", 0755);
  archive.AddCharDevice("dev/console", 0600, 5, 1);
  // Any static program that ends will do: init must not.
  archive.AddFile("init", 0755, *base::ReadFile(build_ + "/libexec/holt/holt-stub"));
  ASSERT_TRUE(base::WriteFile(path, archive.Finish()).ok());
  EXPECT_THAT(Refused([&](auto&, auto& request) { request.initramfs = path; }),
              HasSubstr("the guest kernel panicked: Attempted to kill init!"));
  unlink(path.c_str());
}

TEST_F(MonitorFailureTest, AnAgentThatIsLateIsNamed) {
  EXPECT_THAT(Refused([](auto&, auto& request) { request.start_deadline_ms = 50; }),
              HasSubstr("was not ready within 0.05 s"));
}

TEST_F(MonitorFailureTest, AMissingPartOfHoltIsNamed) {
  EXPECT_THAT(Refused([&](auto&, auto& request) { request.libexec = root_; }),
              HasSubstr("holt-monitor"));
}

TEST_F(MonitorFailureTest, AnyProcessKilledWhileRunningEndsTheContainerWithItsName) {
  for (const std::string& name : Machine()) {
    auto running = StartRunning("a", {"sleep", "1000"});
    ASSERT_TRUE(running.ok()) << running.error().message();
    auto control = Attach("a", "control");
    pid_t pid = PidOf("a", name);
    ASSERT_GT(pid, 0) << name;
    ASSERT_EQ(kill(pid, SIGKILL), 0);
    EXPECT_EQ(*base::ReadFd(control->get(), 1000), "exit 125\n") << name;
    ASSERT_TRUE(running->monitor.WaitForEnd(10s).ok()) << name;
    shim::Sandbox sandbox = AfterTheEnd("a");
    EXPECT_EQ(sandbox.record.status, "stopped");
    EXPECT_EQ(sandbox.record.exit_status, 125);
    EXPECT_THAT(sandbox.record.error, HasSubstr(name + " killed by signal 9")) << name;
    EXPECT_TRUE(Leftovers().empty()) << name << ": " << Leftovers()[0];
    ASSERT_TRUE(shim::Cleanup(root_, "a").ok());
  }
}

TEST_F(MonitorFailureTest, AKilledMonitorTakesEverythingWithIt) {
  auto running = StartRunning("a", {"sleep", "1000"});
  ASSERT_TRUE(running.ok()) << running.error().message();
  shim::Record record = RecordOf("a");
  ASSERT_GE(record.processes.size(), 3u);
  ASSERT_EQ(kill(running->monitor.pid, SIGKILL), 0);
  ASSERT_TRUE(running->monitor.WaitForEnd(5s).ok());
  // Nobody cleaned up yet: they must die by themselves.
  std::vector<std::string> left;
  for (int i = 0; i < 200; ++i) {
    left = Leftovers();
    if (left.empty()) break;
    usleep(10'000);
  }
  EXPECT_TRUE(left.empty()) << left[0];
  auto sandbox = shim::Registry(root_).Find("a");
  ASSERT_TRUE(sandbox.ok());
  EXPECT_FALSE(sandbox->alive);
  EXPECT_EQ(sandbox->record.status, "stopped");
  EXPECT_THAT(sandbox->record.error, HasSubstr("its monitor died"));
  ASSERT_TRUE(shim::Cleanup(root_, "a").ok());
  EXPECT_FALSE(base::PathExists(PathsOf("a").directory));
  EXPECT_TRUE(shim::Cleanup(root_, "a").ok()) << "again";
}

TEST_F(MonitorFailureTest, AMonitorKilledAtAnyMomentOfAStartLeavesNothing) {
  for (int delay_ms : {0, 5, 15, 30, 60, 120, 250, 500, 900, 1400}) {
    base::Result<shim::StartedMonitor> monitor = base::Error(base::Code::kInternal, "not run");
    std::thread starter([&] { monitor = Create(RequestOf("a"), ConfigOf({"sleep", "1000"})); });
    // Its pid is in state.json as soon as it is up.
    pid_t pid = 0;
    for (int i = 0; i < 500 && (pid = PidOf("a", "holt-monitor")) == 0; ++i) usleep(1000);
    ASSERT_GT(pid, 0);
    usleep(static_cast<useconds_t>(delay_ms) * 1000);
    kill(pid, SIGKILL);
    starter.join();
    if (monitor) {
      // It was created before.
      (void)monitor->WaitForEnd(5s);
      EXPECT_TRUE(shim::Cleanup(root_, "a").ok());
    } else {
      EXPECT_THAT(monitor.error().message(), HasSubstr("holt-monitor killed by signal 9"));
    }
    EXPECT_FALSE(base::PathExists(PathsOf("a").directory)) << delay_ms;
    std::vector<std::string> left;
    for (int i = 0; i < 200 && !(left = Leftovers()).empty(); ++i) usleep(10'000);
    EXPECT_TRUE(left.empty()) << delay_ms << " ms: " << left[0];
  }
}

TEST_F(MonitorFailureTest, APartKilledDuringTheStartIsNamedAndLeavesNothing) {
  for (const std::string& name : Machine()) {
    for (int delay_ms : {0, 100, 400}) {
      base::Result<shim::StartedMonitor> monitor = base::Error(base::Code::kInternal, "not run");
      std::thread starter([&] { monitor = Create(RequestOf("a"), ConfigOf({"sleep", "1000"})); });
      pid_t pid = 0;
      for (int i = 0; i < 1000 && (pid = PidOf("a", name)) == 0; ++i) usleep(1000);
      ASSERT_GT(pid, 0);
      usleep(static_cast<useconds_t>(delay_ms) * 1000);
      kill(pid, SIGKILL);
      starter.join();
      ASSERT_FALSE(monitor.ok()) << name << " after " << delay_ms << " ms";
      EXPECT_THAT(monitor.error().message(), HasSubstr(name + " killed by signal 9")) << delay_ms;
      EXPECT_FALSE(base::PathExists(PathsOf("a").directory));
      EXPECT_TRUE(Leftovers().empty()) << name << ": " << Leftovers()[0];
    }
  }
}

TEST_F(MonitorFailureTest, ACallerKilledDuringTheStartTakesTheSandboxAlong) {
  for (int delay_ms : {0, 50, 400}) {
    pid_t caller = fork();
    if (caller == 0) {
      auto monitor = Create(RequestOf("a"), ConfigOf({"sleep", "1000"}));
      _exit(monitor ? 0 : 1);
    }
    for (int i = 0; i < 1000 && PidOf("a", "holt-monitor") == 0; ++i) usleep(1000);
    usleep(static_cast<useconds_t>(delay_ms) * 1000);
    kill(caller, SIGKILL);
    waitpid(caller, nullptr, 0);
    for (int i = 0; i < 500 && base::PathExists(PathsOf("a").directory); ++i) usleep(10'000);
    EXPECT_FALSE(base::PathExists(PathsOf("a").directory)) << delay_ms;
    std::vector<std::string> left;
    for (int i = 0; i < 200 && !(left = Leftovers()).empty(); ++i) usleep(10'000);
    EXPECT_TRUE(left.empty()) << left[0];
  }
}

TEST_F(MonitorFailureTest, AForegroundCallerThatLeavesBeforeTheStartTakesItAlong) {
  shim::Request request = RequestOf("a");
  request.foreground = true;
  auto monitor = Create(request, ConfigOf({"true"}));
  ASSERT_TRUE(monitor.ok()) << monitor.error().message();
  monitor->life.Reset();
  EXPECT_TRUE(monitor->WaitForEnd(10s).ok());
  EXPECT_FALSE(base::PathExists(PathsOf("a").directory));

  monitor = Create(request, ConfigOf({"sleep", "1000"}));
  ASSERT_TRUE(monitor.ok()) << monitor.error().message();
  ASSERT_TRUE(Connect("a").Start().ok());
  monitor->life.Reset();
  EXPECT_FALSE(monitor->WaitForEnd(500ms).ok()) << "once started it is on its own";
}

TEST_F(MonitorFailureTest, AGuestThatPowersOffUnderTheContainerIsSaid) {
  auto running = StartRunning("a", {"sleep", "1000"});
  ASSERT_TRUE(running.ok()) << running.error().message();
  auto socket = base::ConnectUnix(PathsOf("a").Vsock() + "/vsock.sock");
  ASSERT_TRUE(socket.ok()) << socket.error().message();
  ASSERT_TRUE(base::WriteFd(socket->get(), "CONNECT 1024\n").ok());
  ASSERT_THAT(*shim::ReadLine(socket->get(), 100), HasSubstr("OK"));
  auto agent = rpc::BlockingClient::Create(std::move(*socket));
  (void)(*agent)->Call<agent::v1::Empty>("holt.agent.v1.Agent", "Shutdown", agent::v1::Empty());
  ASSERT_TRUE(running->monitor.WaitForEnd(20s).ok());
  shim::Sandbox sandbox = AfterTheEnd("a");
  EXPECT_NE(sandbox.record.exit_status, 0);
  EXPECT_EQ(sandbox.record.status, "stopped");
}

TEST_F(MonitorFailureTest, AHungMachineCanBeDeleted) {
  auto running = StartRunning("a", {"sleep", "1000"});
  ASSERT_TRUE(running.ok()) << running.error().message();
  ASSERT_EQ(kill(PidOf("a", Accel() == "kvm" ? "holt-vmm" : "QEMU"), SIGSTOP), 0);
  auto begin = std::chrono::steady_clock::now();
  auto status = running->client.Delete(true);
  EXPECT_TRUE(status.ok()) << status.error().message();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 8s);
  EXPECT_TRUE(running->monitor.WaitForEnd(5s).ok());
  EXPECT_FALSE(base::PathExists(PathsOf("a").directory));
}

TEST_F(MonitorFailureTest, ForceCleanupEndsWhatRunsAndWhatHangs) {
  auto running = StartRunning("a", {"sh", "-c", "trap '' TERM; while :; do sleep 1; done"});
  ASSERT_TRUE(running.ok()) << running.error().message();
  EXPECT_EQ(shim::Cleanup(root_, "a").error().code(), base::Code::kFailedPrecondition);
  auto status = shim::ForceCleanup(root_, "a");
  EXPECT_TRUE(status.ok()) << status.error().message();
  EXPECT_FALSE(base::PathExists(PathsOf("a").directory));
  EXPECT_TRUE(running->monitor.WaitForEnd(1s).ok());

  auto hung = StartRunning("b", {"sleep", "1000"});
  ASSERT_TRUE(hung.ok()) << hung.error().message();
  ASSERT_EQ(kill(hung->monitor.pid, SIGSTOP), 0);
  status = shim::ForceCleanup(root_, "b", 300ms);
  EXPECT_TRUE(status.ok()) << status.error().message();
  EXPECT_FALSE(base::PathExists(PathsOf("b").directory));
  EXPECT_TRUE(hung->monitor.WaitForEnd(1s).ok());
  std::vector<std::string> left;
  for (int i = 0; i < 100 && !(left = Leftovers()).empty(); ++i) usleep(10'000);
  EXPECT_TRUE(left.empty()) << left[0];
}

TEST_F(MonitorFailureTest, GcTakesDebrisAndLeavesTheRest) {
  Finished run = Run("stopped", {"true"});
  auto removed =
      StartRunning("removed", {"sleep", "1000"},
                   [](oci::Config&, shim::Request& request) { request.auto_remove = true; });
  auto alive = StartRunning("alive", {"sleep", "1000"});
  ASSERT_TRUE(removed.ok() && alive.ok());
  ASSERT_EQ(kill(removed->monitor.pid, SIGKILL), 0);
  ASSERT_TRUE(removed->monitor.WaitForEnd(5s).ok());
  shim::CleanedUp cleaned = shim::CleanupDebris(root_);
  EXPECT_TRUE(cleaned.status.ok()) << cleaned.status.error().message();
  EXPECT_THAT(cleaned.removed, ::testing::ElementsAre("removed"));
  EXPECT_TRUE(base::PathExists(PathsOf("stopped").directory));
  EXPECT_TRUE(shim::Registry(root_).Find("alive")->alive);
}

TEST_F(MonitorFailureTest, AllProcessesOfALeasedUserCanBeKilled) {
  auto lease = shim::UidLease::Take();
  ASSERT_TRUE(lease.ok()) << lease.error().message();
  std::vector<pid_t> pids;
  for (int i = 0; i < 3; ++i) {
    auto pid =
        base::Spawn({.argv = {"/bin/sleep", "1000"}, .uid = lease->uid(), .gid = lease->uid()});
    ASSERT_TRUE(pid.ok()) << pid.error().message();
    pids.push_back(*pid);
  }
  auto status = shim::KillAllOfUser(lease->uid());
  EXPECT_TRUE(status.ok()) << status.error().message();
  for (pid_t pid : pids) {
    int ended = 0;
    ASSERT_EQ(waitpid(pid, &ended, 0), pid);
    EXPECT_EQ(WTERMSIG(ended), SIGKILL);
  }
  EXPECT_TRUE(shim::KillAllOfUser(lease->uid()).ok()) << "nobody there is fine";
}

TEST_F(MonitorFailureTest, TheStubIsTheContainersPid) {
  auto monitor = Create(
      RequestOf("a"),
      ConfigOf({"sh", "-c", "trap 'exit 11' TERM; echo ready; while :; do sleep 0.1; done"}));
  ASSERT_TRUE(monitor.ok()) << monitor.error().message();
  shim::StubOptions options{.paths = PathsOf("a"), .container_id = "a"};
  options.installation.libexec = build_ + "/libexec/holt";
  auto stub = shim::StartStub(options);
  ASSERT_TRUE(stub.ok()) << stub.error().message();
  EXPECT_EQ(RecordOf("a").pid, *stub);
  auto out = Attach("a", "stdout");
  Client client = Connect("a");
  ASSERT_TRUE(client.Start().ok());
  EXPECT_EQ(client.State()->host_pid(), *stub);
  // Before its handler is there the signal would be an init's without one: deadly.
  EXPECT_THAT(ReadUntil(out->get(), "ready"), HasSubstr("ready"));
  ASSERT_EQ(kill(*stub, SIGTERM), 0);
  int status = 0;
  ASSERT_EQ(waitpid(*stub, &status, 0), *stub);
  EXPECT_EQ(WEXITSTATUS(status), 11);
  EXPECT_EQ(AfterTheEnd("a").record.exit_status, 11);

  ASSERT_TRUE(shim::Cleanup(root_, "a").ok());
  monitor = Create(RequestOf("a"), ConfigOf({"sleep", "1000"}));
  ASSERT_TRUE(monitor.ok());
  stub = shim::StartStub(options);
  ASSERT_TRUE(stub.ok());
  ASSERT_TRUE(Connect("a").Start().ok());
  kill(*stub, SIGKILL);
  waitpid(*stub, nullptr, 0);
  EXPECT_EQ(AfterTheEnd("a").record.exit_status, 137)
      << "whoever kills the pid means the container";
}

}  // namespace
}  // namespace holt
