// holt-monitor driven by its sockets: a container's life in a machine of its own.

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "base/file.h"
#include "shim/monitor/cleanup.h"
#include "shim/monitor/container_log.h"
#include "shim/monitor/timeline.h"
#include "tests/e2e/sandbox_harness.h"

namespace holt {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class MonitorTest : public SandboxTest {};

TEST_F(MonitorTest, RunsACommandWithItsOutputAndStatus) {
  Finished run = Run("a", {"sh", "-c", "echo out; echo err >&2; hostname; exit 7"});
  EXPECT_EQ(run.error, "");
  EXPECT_EQ(run.out, "out\nguest\n");
  EXPECT_EQ(run.err, "err\n");
  EXPECT_EQ(run.status, 7);
  shim::Sandbox sandbox = AfterTheEnd("a");
  EXPECT_EQ(sandbox.record.status, "stopped");
  EXPECT_EQ(sandbox.record.exit_status, 7);
  EXPECT_EQ(sandbox.record.error, "");
  EXPECT_GT(sandbox.record.exited_unix_nanos, sandbox.record.started_unix_nanos);
  // With the monitor everything of the machine is gone; what was said stays.
  EXPECT_TRUE(Leftovers().empty()) << Leftovers()[0];
  for (const std::string& path :
       {sandbox.paths.MonitorSocket(), sandbox.paths.AttachSocket(), sandbox.paths.Vsock()})
    EXPECT_FALSE(base::PathExists(path)) << path;
  auto reader = shim::LogReader::Open(sandbox.paths.Log());
  ASSERT_TRUE(reader.ok());
  std::string out;
  std::string err;
  shim::LogRecord record;
  while (reader->Next(record).value_or(false))
    (record.stream == shim::LogStream::kStdout ? out : err) += record.data;
  EXPECT_EQ(out, "out\nguest\n");
  EXPECT_EQ(err, "err\n");
}

TEST_F(MonitorTest, TheKernelIsTheGuestsOwn) {
  Finished run = Run("a", {"uname", "-r"});
  EXPECT_THAT(run.out, HasSubstr("-holt")) << run.error;
}

TEST_F(MonitorTest, InputReachesItsEndAndComesBackWhole) {
  std::string input(4 << 20, 0);
  for (size_t i = 0; i < input.size(); ++i) input[i] = static_cast<char>(i * 2654435761u >> 13);
  Finished run = Run("a", {"cat"}, input);
  EXPECT_EQ(run.error, "");
  EXPECT_TRUE(run.out == input) << run.out.size() << " bytes of " << input.size();
  EXPECT_EQ(run.status, 0);
}

TEST_F(MonitorTest, TheTailOfTheOutputIsNeverCut) {
  for (int i = 0; i < 3; ++i) {
    std::string id = "a" + std::to_string(i);
    Finished run = Run(id, {"sh", "-c", "seq 1 200000; exit 3"});
    EXPECT_EQ(run.status, 3) << run.error;
    EXPECT_TRUE(run.out.ends_with("199999\n200000\n")) << run.out.size();
  }
}

TEST_F(MonitorTest, WhatCannotBeExecutedIsNotCreated) {
  auto none = Create(RequestOf("a"), ConfigOf({"no-such-command"}));
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code(), base::Code::kNotFound);
  EXPECT_THAT(none.error().message(), HasSubstr("no-such-command"));
  auto denied = Create(RequestOf("b"), ConfigOf({"/etc/passwd"}));
  ASSERT_FALSE(denied.ok());
  EXPECT_EQ(denied.error().code(), base::Code::kPermissionDenied);
  EXPECT_THAT(denied.error().message(), HasSubstr("ermission denied"));
}

// Looked for where it will be executed: known at the start only.
TEST_F(MonitorTest, WhatCannotBeExecutedIs126Or127) {
  auto below = [](oci::Config& config, shim::Request&) { config.process->cwd = "/etc"; };
  Finished none = Run("a", {"./no-such-command"}, "", below);
  EXPECT_EQ(none.status, 127);
  EXPECT_THAT(none.error, HasSubstr("no-such-command"));
  EXPECT_EQ(AfterTheEnd("a").record.exit_status, 127);
  Finished denied = Run("b", {"./passwd"}, "", below);
  EXPECT_EQ(denied.status, 126);
  EXPECT_THAT(denied.error, HasSubstr("ermission denied"));
}

TEST_F(MonitorTest, SignalsReachTheProcess) {
  auto running = StartRunning(
      "a",
      {"sh", "-c", "trap 'echo got it; exit 9' USR1; echo ready; while :; do sleep 0.1; done"});
  ASSERT_TRUE(running.ok()) << running.error().message();
  ReadUntil(running->out.get(), "ready");
  auto status = running->client.Kill(SIGUSR1);
  EXPECT_TRUE(status.ok()) << status.error().message();
  EXPECT_THAT(ReadUntil(running->out.get(), "got it"), HasSubstr("got it"));
  EXPECT_EQ(AfterTheEnd("a").record.exit_status, 9);
}

TEST_F(MonitorTest, AKilledProcessIs128AndTheSignal) {
  auto running = StartRunning("a", {"sleep", "1000"});
  ASSERT_TRUE(running.ok()) << running.error().message();
  EXPECT_FALSE(running->client.Delete(false).ok()) << "it runs";
  ASSERT_TRUE(running->client.Kill(SIGKILL).ok());
  EXPECT_EQ(running->client.Wait()->exit_status(), 137);
  EXPECT_EQ(AfterTheEnd("a").record.exit_status, 137);
}

TEST_F(MonitorTest, ExecsHaveStreamsAndStatusOfTheirOwn) {
  auto running = StartRunning("a", {"sleep", "1000"});
  ASSERT_TRUE(running.ok()) << running.error().message();
  Client& client = running->client;
  auto status = client.Exec("one", {"sh", "-c", "cat; echo oops >&2; exit 5"}, true);
  ASSERT_TRUE(status.ok()) << status.error().message();
  auto in = Attach("a", "stdin", "one");
  auto out = Attach("a", "stdout", "one");
  auto err = Attach("a", "stderr", "one");
  ASSERT_TRUE(in.ok() && out.ok() && err.ok());
  ASSERT_TRUE(base::WriteFd(in->get(), "through").ok());
  shutdown(in->get(), SHUT_WR);
  EXPECT_EQ(*base::ReadFd(out->get(), 1000), "through");
  EXPECT_EQ(*base::ReadFd(err->get(), 1000), "oops\n");
  // Its end was before this; a process that is forgotten is "no such process", not somebody else's
  // status.
  auto wait = client.Wait("one");
  if (wait.ok()) {
    EXPECT_EQ(wait->exit_status(), 5);
  }

  ASSERT_TRUE(client.Exec("two", {"sh", "-c", "exit 6"}, false).ok());
  auto control = Attach("a", "control", "two");
  auto out_two = Attach("a", "stdout", "two");
  auto err_two = Attach("a", "stderr", "two");
  ASSERT_TRUE(control.ok()) << control.error().message();
  EXPECT_EQ(*base::ReadFd(control->get(), 1000), "exit 6\n");

  EXPECT_EQ(client.Exec("three", {"nothing-here"}).error().code(), base::Code::kNotFound);
  EXPECT_EQ(client.Exec("three", {"/etc/passwd"}).error().code(), base::Code::kPermissionDenied);
  EXPECT_EQ(client.Exec("../x", {"true"}).error().code(), base::Code::kInvalidArgument);
  auto list = client.List();
  ASSERT_TRUE(list.ok()) << list.error().message();
  ASSERT_GE(list->processes_size(), 1);
  EXPECT_THAT(list->processes(0).command(), HasSubstr("sleep"));
}

TEST_F(MonitorTest, AnExecsBackgroundChildDoesNotHoldItUp) {
  auto running = StartRunning("a", {"sleep", "1000"});
  ASSERT_TRUE(running.ok()) << running.error().message();
  ASSERT_TRUE(running->client.Exec("bg", {"sh", "-c", "echo hello; sleep 1000 & exit 0"}).ok());
  auto out = Attach("a", "stdout", "bg");
  auto err = Attach("a", "stderr", "bg");
  ASSERT_TRUE(out.ok() && err.ok());
  auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(*base::ReadFd(out->get(), 1000), "hello\n");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
}

TEST_F(MonitorTest, ClientsComeAndGoWhileItRuns) {
  auto running =
      StartRunning("a", {"sh", "-c", "while read line; do echo \"got $line\"; done"},
                   [](oci::Config&, shim::Request& request) { request.stdin_open = true; });
  ASSERT_TRUE(running.ok()) << running.error().message();
  auto in = Attach("a", "stdin");
  ASSERT_TRUE(base::WriteFd(in->get(), "one\n").ok());
  EXPECT_THAT(ReadUntil(running->out.get(), "got one"), HasSubstr("got one"));
  running->out.Reset();  // detached
  ASSERT_TRUE(base::WriteFd(in->get(), "two\n").ok());
  auto first = Attach("a", "stdout");
  auto second = Attach("a", "stdout");
  ASSERT_TRUE(first.ok() && second.ok());
  ASSERT_TRUE(base::WriteFd(in->get(), "three\n").ok());
  EXPECT_THAT(ReadUntil(first->get(), "got three"), HasSubstr("got three"));
  EXPECT_THAT(ReadUntil(second->get(), "got three"), HasSubstr("got three"));
  shutdown(in->get(), SHUT_WR);
  EXPECT_EQ(AfterTheEnd("a").record.exit_status, 0);
}

TEST_F(MonitorTest, ATerminalHasASizeAndOneStream) {
  auto running = StartRunning("a", {"sh", "-c", "stty size; read x; stty size; tty"},
                              [](oci::Config& config, shim::Request& request) {
                                request.stdin_open = true;
                                config.process->terminal = true;
                                config.process->console_size = oci::ConsoleSize{24, 80};
                              });
  ASSERT_TRUE(running.ok()) << running.error().message();
  EXPECT_THAT(ReadUntil(running->out.get(), "24 80"), HasSubstr("24 80"));
  EXPECT_FALSE(Attach("a", "stderr").ok());
  ASSERT_TRUE(running->client.Resize(40, 120).ok());
  auto in = Attach("a", "stdin");
  ASSERT_TRUE(base::WriteFd(in->get(), "\n").ok());
  EXPECT_THAT(ReadUntil(running->out.get(), "/dev/pts/0"), HasSubstr("40 120"));
  EXPECT_EQ(AfterTheEnd("a").record.exit_status, 0);
}

TEST_F(MonitorTest, AutoRemoveLeavesNothing) {
  Finished run = Run("a", {"true"}, "",
                     [](oci::Config&, shim::Request& request) { request.auto_remove = true; });
  EXPECT_EQ(run.status, 0) << run.error;
  EXPECT_FALSE(base::PathExists(PathsOf("a").directory));
}

TEST_F(MonitorTest, TheTimelineCoversTheWholeLife) {
  oci::Config config = ConfigOf({"true"});
  shim::Request request = RequestOf("a");
  request.timeline = true;
  request.auto_remove = true;
  auto monitor = Create(request, config);
  ASSERT_TRUE(monitor.ok()) << monitor.error().message();
  ASSERT_TRUE(Connect("a").Start().ok());
  ASSERT_TRUE(monitor->WaitForEnd(20s).ok());
  std::string text(1 << 20, 0);
  ssize_t n = pread(monitor->timeline.get(), text.data(), text.size(), 0);
  ASSERT_GT(n, 0);
  text.resize(static_cast<size_t>(n));
  auto steps = shim::TimelineFromJson(text, 0);
  ASSERT_TRUE(steps.ok()) << steps.error().message();
  std::string names;
  for (const auto& step : *steps) names += step.process + ": " + step.name + "\n";
  for (const char* name :
       {"holt-monitor: start the monitor", "holt-monitor: boot the guest",
        "guest: ", "holt-monitor: mount the root file system", "holt-monitor: create the container",
        "holt-monitor: start the container", "holt-monitor: run", "holt-monitor: tear down"})
    EXPECT_THAT(names, HasSubstr(name));
}

TEST_F(MonitorTest, VolumesAndReadOnlyAreTheHostsWord) {
  std::string volume = root_ + "/../" + root_.substr(root_.find_last_of('/') + 1) + "-volume";
  ASSERT_TRUE(base::MakeDirs(volume).ok());
  ASSERT_TRUE(base::WriteFile(volume + "/file", "from the host").ok());
  auto mount = [&](std::vector<std::string> options) {
    return [&, options](oci::Config& config, shim::Request&) {
      config.mounts.push_back(
          {.destination = "/data", .type = "bind", .source = volume, .options = options});
    };
  };
  Finished write =
      Run("a", {"sh", "-c", "cat /data/file; echo back > /data/new"}, "", mount({"rbind"}));
  EXPECT_EQ(write.out, "from the host") << write.error << write.err;
  EXPECT_EQ(*base::ReadFile(volume + "/new"), "back\n");
  Finished refused = Run(
      "b", {"sh", "-c", "echo x > /data/new2 || mount -o remount,rw /data; echo x > /data/new2"},
      "", mount({"rbind", "ro"}));
  EXPECT_NE(refused.status, 0);
  EXPECT_FALSE(base::PathExists(volume + "/new2"));
  (void)base::RemoveTree(volume);
}

TEST_F(MonitorTest, SigtermIsACleanStop) {
  auto running = StartRunning("a", {"sleep", "1000"});
  ASSERT_TRUE(running.ok()) << running.error().message();
  ASSERT_EQ(kill(running->monitor.pid, SIGTERM), 0);
  ASSERT_TRUE(running->monitor.WaitForEnd(10s).ok());
  shim::Sandbox sandbox = AfterTheEnd("a");
  EXPECT_EQ(sandbox.record.status, "stopped");
  EXPECT_EQ(sandbox.record.exit_status, 137);
  EXPECT_TRUE(Leftovers().empty()) << Leftovers()[0];
}

TEST_F(MonitorTest, AForcedDeleteTakesARunningContainerAway) {
  auto running = StartRunning("a", {"sh", "-c", "trap '' TERM; while :; do sleep 1; done"});
  ASSERT_TRUE(running.ok()) << running.error().message();
  auto status = running->client.Delete(true);
  EXPECT_TRUE(status.ok()) << status.error().message();
  EXPECT_FALSE(base::PathExists(PathsOf("a").directory));
  ASSERT_TRUE(running->monitor.WaitForEnd(10s).ok());
}

TEST_F(MonitorTest, ACreatedContainerWaitsAndCanBeDeleted) {
  auto monitor = Create(RequestOf("a"), ConfigOf({"true"}));
  ASSERT_TRUE(monitor.ok()) << monitor.error().message();
  Client client = Connect("a");
  EXPECT_EQ(client.State()->status(), "created");
  EXPECT_EQ(client.Exec("x", {"true"}).error().code(), base::Code::kFailedPrecondition);
  auto status = client.Delete(false);
  EXPECT_TRUE(status.ok()) << status.error().message();
  ASSERT_TRUE(monitor->WaitForEnd(10s).ok());
  EXPECT_FALSE(base::PathExists(PathsOf("a").directory));
}

TEST_F(MonitorTest, ASecondStartIsAnError) {
  auto running = StartRunning("a", {"sleep", "1000"});
  ASSERT_TRUE(running.ok()) << running.error().message();
  EXPECT_THAT(running->client.Start().error().message(), HasSubstr("running already"));
}

TEST_F(MonitorTest, ASlowReaderGetsEverythingAfterTheExit) {
  auto running = StartRunning("a", {"sh", "-c", "seq 1 300000"});
  ASSERT_TRUE(running.ok()) << running.error().message();
  sleep(3);
  std::string out = base::ReadFd(running->out.get(), 64 << 20).value_or("");
  EXPECT_TRUE(out.ends_with("299999\n300000\n")) << out.size();
  EXPECT_EQ(AfterTheEnd("a").record.exit_status, 0);
}

TEST_F(MonitorTest, AContainerOutOfMemoryIsTold) {
  const std::string persist = bundle_ + "/persist";
  ASSERT_TRUE(base::MakeDirs(persist).ok());
  Finished run =
      Run("a", {"tail", "/dev/zero"}, "", [&](oci::Config& config, shim::Request& request) {
        request.persist = persist;
        config.linux_->resources = oci::Resources();
        config.linux_->resources->memory =
            oci::MemoryResources{.limit = 32 << 20, .swap = 32 << 20};
      });
  EXPECT_EQ(run.error, "");
  EXPECT_EQ(run.status, 137);
  EXPECT_TRUE(AfterTheEnd("a").record.oom_killed);
  EXPECT_TRUE(base::PathExists(bundle_ + "/oom")) << "what Podman looks for";
  EXPECT_TRUE(base::PathExists(persist + "/oom")) << "what Podman looks for since version 5";
}

TEST_F(MonitorTest, EightAtOnceDoNotDisturbEachOther) {
  std::vector<std::thread> threads;
  std::vector<Finished> runs(8);
  for (size_t i = 0; i < runs.size(); ++i) {
    threads.emplace_back([&, i] {
      std::string n = std::to_string(i);
      runs[i] = Run("a" + n, {"sh", "-c", "echo number " + n + "; exit " + n}, "",
                    [](oci::Config&, shim::Request& request) { request.auto_remove = true; });
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < runs.size(); ++i) {
    EXPECT_EQ(runs[i].error, "");
    EXPECT_EQ(runs[i].out, "number " + std::to_string(i) + "\n");
    EXPECT_EQ(runs[i].status, static_cast<int>(i));
    EXPECT_FALSE(base::PathExists(PathsOf("a" + std::to_string(i)).directory));
  }
}

}  // namespace
}  // namespace holt
